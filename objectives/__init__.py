"""Scores settings: datasets, backbones, features, heads, and the probe that combines them."""

import os

# Read by OpenMP when torch is loaded. Else its idle threads spin, and beside other work all take many times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
