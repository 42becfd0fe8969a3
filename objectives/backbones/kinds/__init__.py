"""The kinds of networks: one file for each says how to load it and where it has blocks."""
