"""Labelled images: where they are found, how they become square pixels, and which of them train, validate and test."""
