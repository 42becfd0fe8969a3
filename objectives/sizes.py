"""Sizes of files in words."""

UNITS = ("kB", "MB", "GB", "TB", "PB")


def size_in_words(size: float) -> str:
    """Bytes for people: 999 → "999 bytes", 1,500 → "1.5 kB", 2,211,383,297 → "2.2 GB"."""
    if size < 1000:
        return f"{size:.0f} byte{'' if size == 1 else 's'}"
    power = next((n for n in range(1, len(UNITS)) if size < 1000 ** (n + 1)), len(UNITS))
    return f"{size / 1000**power:,.1f} {UNITS[power - 1]}"
