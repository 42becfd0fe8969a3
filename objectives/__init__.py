"""What a setting is worth: datasets, backbones, features, heads, and the probe that joins them."""
