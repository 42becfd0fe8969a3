"""Recommends a setting for a new dataset from a small part of the forward passes."""
