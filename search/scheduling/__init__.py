"""Runs trials: which one next, where, and when to stop it."""
