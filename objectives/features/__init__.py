"""Makes features from images: noise, forward passes, pooling, and the cache."""
