"""The computations behind a report: expected values, importances, noise, near-duplicates."""
