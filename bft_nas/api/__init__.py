"""The Python interface: what the commands do, as functions; the command line is a thin layer over it."""
