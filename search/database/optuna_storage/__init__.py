"""The part of a study that Optuna stores: its name, its trials with their parameters, and its attributes."""
