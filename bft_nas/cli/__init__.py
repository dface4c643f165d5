"""The command line: one file a command, tables and progress in the terminal."""
