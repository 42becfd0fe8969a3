"""Chooses the next setting to try."""
