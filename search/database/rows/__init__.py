"""The rows of the database as plain results, and results as rows."""
