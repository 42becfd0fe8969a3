"""One run of a search: from its options to its report, in a process of its own, with events on the way."""
