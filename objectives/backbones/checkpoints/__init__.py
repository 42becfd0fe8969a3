"""Published checkpoints of guided-diffusion, and their conversion to diffusers."""
