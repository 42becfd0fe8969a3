"""The page of an exported classifier."""
