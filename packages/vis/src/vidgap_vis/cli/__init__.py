"""The command `vidgap`: a file a group of commands, each reads its arguments and calls."""
