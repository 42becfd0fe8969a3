"""The queue: its jobs, and the workers that run them."""
