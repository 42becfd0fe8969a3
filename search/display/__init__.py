"""Shows on a terminal how far a run, a download or a count has come."""
