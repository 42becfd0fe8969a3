"""The folders from which jobs may read: each below a root that `search serve` was given."""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from spaces import UnknownNameError, UsageError
from spaces.errors import shown

MOST_FOLDERS = 200
"""Folders of a root that a list shows."""


def path_below(roots: Mapping[str, Path], option: str, text: str) -> Path:
    """Return the path that NAME/sub/folder means. option: the name of the option that has this value.

    Raises UsageError for another form, for a path that leads out of its root, also by a link anywhere below it, and for
    one that does not exist.
    """
    name, _, rest = text.partition("/")
    if name not in roots:
        if not roots:
            raise UsageError(
                f"`{option}` names a folder below a root of this server, which has none, got {shown(text)}"
            )
        if not name or name in (".", ".."):
            raise UsageError(
                f"`{option}` must be NAME/sub/folder, with the name of a root of this server: {_names(roots)}"
            )
        raise UnknownNameError("root of this server", name, roots)
    if "\0" in rest or "\\" in rest or any(part in ("", ".", "..") for part in rest.split("/") if rest):
        raise UsageError(
            f"`{option}` must be NAME/sub/folder without .., backslashes or empty parts, got {shown(text)}"
        )
    root = roots[name]
    path = _inside(root, root / rest, option, text)
    if not os.path.exists(path):  # noqa: PTH110 - also for a name that is too long
        raise UsageError(f"`{option}` {shown(text)} does not exist on this server")
    _check_links(root, path if path.is_dir() else path.parent, option, text)
    return path


def name_below(roots: Mapping[str, Path], path: str) -> str:
    """Return NAME/sub/folder for a path below a root, and any other text as it is."""
    for name, root in roots.items():
        if Path(path).is_relative_to(root):
            return str(PurePosixPath(name, Path(path).relative_to(root)))
    return path


def folders_below(root: Path) -> list[str]:
    """Return the names of the folders of a root, without hidden ones; the first `MOST_FOLDERS`."""
    try:
        with os.scandir(root) as listing:
            names = sorted(
                entry.name for entry in listing if entry.is_dir(follow_symlinks=False) and entry.name[0] != "."
            )
    except OSError:
        return []
    return names[:MOST_FOLDERS]


def _names(roots: Mapping[str, Path]) -> str:
    return ", ".join(sorted(roots))


def _inside(root: Path, path: Path, option: str, text: str) -> Path:
    """Return a path without links. Raises UsageError where it leads out of the root."""
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError):  # a name that is too long, or links in a circle
        raise UsageError(f"`{option}` {shown(text)} cannot be read on this server") from None
    if not resolved.is_relative_to(root):
        raise UsageError(f"`{option}` {shown(text)} leads out of its root by a link")
    return resolved


def _check_links(root: Path, folder: Path, option: str, text: str) -> None:
    """Raise UsageError where a link below a folder leads out of the root."""
    for inner, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(inner, name)
            if path.is_symlink():
                _inside(root, path, option, f"{text}/{path.relative_to(folder)}")
