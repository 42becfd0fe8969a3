"""The report of a screening: the recommended setting and the evidence for it."""
