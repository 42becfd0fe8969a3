"""Heads that are small neural networks, trained in epochs."""
