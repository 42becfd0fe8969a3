"""The trials of a study: which one is next, what is stored of it, when it stops, which settings are tried again."""
