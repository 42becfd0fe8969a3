"""The connection to a study database: its URL, how it is opened, and how SQLite and PostgreSQL differ."""
