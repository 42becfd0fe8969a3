"""The feature cache on disk: folders of shards, shared by processes and machines, with a limit on their size."""
