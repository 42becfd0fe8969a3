"""The report of a CKA comparison: how similar the representations of blocks, timesteps and networks are."""
