"""Centered kernel alignment (CKA) between the features of blocks, timesteps, noise draws and networks."""
