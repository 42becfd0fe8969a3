"""Diffusion transformers that read latents: `network.py` is what they share, each other file one kind."""
