"""Architecture and weights as files for runtimes, each checked after writing."""
