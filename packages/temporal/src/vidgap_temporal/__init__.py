"""vidgap."""
