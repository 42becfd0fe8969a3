"""Heads that are linear in the features: logistic regression and ridge regression."""
