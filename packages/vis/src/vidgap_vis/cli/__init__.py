"""The command `vidgap`: one file per group of commands; each reads its arguments and calls."""
