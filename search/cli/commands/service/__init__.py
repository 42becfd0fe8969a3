"""The commands of the search service: its server and tokens, the queue and its workers."""
