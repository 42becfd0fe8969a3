"""Heads that compare an image with training images or with class means."""
