"""Heads: classifiers that are trained on frozen features, behind one interface."""
