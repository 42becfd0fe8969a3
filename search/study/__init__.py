"""A study that a person has: its handle in Python, which one is meant, its features, its classifier."""
