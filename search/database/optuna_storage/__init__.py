"""What Optuna stores of a study: its name, its trials and their parameters, and the attributes of Optuna Dashboard."""
