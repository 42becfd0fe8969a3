"""Names the image transform and the noise, on which features depend, so that what other versions made is never mixed.

The first versions are older than this record. So keys, studies and files name a version only if it is another one, and
what was stored before keeps its name.
"""

import hashlib
from collections.abc import Mapping

from objectives.datasets.images import TRANSFORM

NOISE = "torch-normal,seeded-by-blake2b"
"""The name of how `noise_for` makes noise. If its numbers change, give it another name.

Then raise `classifier_file.FORMAT`, too: earlier versions read its files, and know only the first noise.
"""

FIRST: Mapping[str, str] = {
    "transform": "exif-upright,rgb-on-white,shorter-side-bicubic,centre-square",
    "noise": "torch-normal,seeded-by-blake2b",
}
"""The versions of what was made before versions were recorded."""


def versions() -> dict[str, str]:
    """Return the names of this program's transform and noise."""
    return {"transform": TRANSFORM, "noise": NOISE}


def changed() -> dict[str, str]:
    """Return those of `versions` that are not the first ones."""
    return {kind: name for kind, name in versions().items() if name != FIRST[kind]}


def key_of(weights_digest: str) -> str:
    """Return a key of a network with `versions`: its digest, or sha256 hex of the digest and the changed versions."""
    parts = [weights_digest, *changed().values()]
    return weights_digest if len(parts) == 1 else hashlib.sha256("\n".join(parts).encode()).hexdigest()
