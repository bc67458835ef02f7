"""Names of the official heads and learned trackers, and the modules that their files make."""
