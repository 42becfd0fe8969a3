"""Runs requests with Ray, on one machine or a cluster. Only here: Ray."""
