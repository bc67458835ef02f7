"""Drawing: what an overlay costs after the masks."""
