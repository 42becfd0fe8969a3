"""From images to cached features: noise, pooling, extraction, the cache."""
