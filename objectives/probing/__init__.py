"""How good a setting is: the probe, the fits on the splits, baselines, and screening."""
