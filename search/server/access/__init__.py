"""Who may use the server: callers and their roles, tokens, and rates of requests."""
