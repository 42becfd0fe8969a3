"""The words that name a split, for every reader of a user's own data."""

import re

_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
SPLIT_OF_WORD = {word: split for split, words in _WORDS.items() for word in words}
"""A word, in lower case → train, validation or test."""

_SEPARATORS = re.compile(r"[-._ 0-9]+")


def split_in(name: str) -> str:
    """Return the split of which a name has a word, in any case; "" if there is none, or if there are several."""
    splits = {SPLIT_OF_WORD[word] for word in _SEPARATORS.split(name.lower()) if word in SPLIT_OF_WORD}
    return splits.pop() if len(splits) == 1 else ""
