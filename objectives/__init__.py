"""Scores settings: datasets, backbones, features, heads, and the probe that combines them."""
