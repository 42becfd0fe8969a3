"""Requests and answers of the API. The options of a job are made of the fields of `RunOptions`."""

REFUSED = frozenset({"home", "storage", "ray_address", "notify", "on_finish"})
"""Options that no request may set: they name places of the server, or what it runs."""
