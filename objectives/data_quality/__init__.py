"""Finds what a person should look at in a dataset: likely label errors, and near-duplicates across splits."""
