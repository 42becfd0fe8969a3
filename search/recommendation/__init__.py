"""Recommends a setting for a new dataset from a few forward passes."""
