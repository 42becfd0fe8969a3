"""The home folder of a test."""

from pathlib import Path


def files_in(home: Path) -> set[str]:
    """Return the files below a home folder, apart from remembered descriptions of networks."""
    files = (path.relative_to(home) for path in home.rglob("*") if path.is_file())
    return {str(file) for file in files if file.parts[:2] != ("cache", "descriptions")}
