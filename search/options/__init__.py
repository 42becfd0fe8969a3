"""The options of a search: their definition, which of them a command takes, and how values are typed."""
