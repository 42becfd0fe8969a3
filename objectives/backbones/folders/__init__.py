"""Reads the files in a network's folder, and refuses in words what is damaged, missing or unknown."""
