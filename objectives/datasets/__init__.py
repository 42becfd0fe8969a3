"""Labelled images: how they are found and decoded, and how they are split into train, validation and test."""
