"""The answer of a study: how it was chosen, its scores, what it costs, and the sentences about it."""
