"""Says in what a study and a record differ whose trials cannot be compared."""

from search.database.models import StudyRow
from search.database.records import StudyRecord
from spaces.errors import shown


def differences(row: StudyRow, record: StudyRecord) -> str:
    """Say what the study of a row was made with, where a record of another identity has something else."""
    new = record.space.to_dict()
    pairs = [
        ("dataset", row.dataset, record.dataset),
        ("network", row.backbone, record.backbone),
        *((name, row.space.get(name), new.get(name)) for name in sorted({*row.space, *new})),
        *(
            (label, row.protocol.get(label), record.protocol.get(label))
            for label in sorted({*row.protocol, *record.protocol})
            if label != "split fingerprint"  # follows from the images and the rest
        ),
    ]
    phrases = [f"{what} {_words(old)}, not {_words(other)}" for what, old, other in pairs if old != other]
    if row.dataset == record.dataset and row.dataset_fingerprint != record.dataset_fingerprint:
        phrases.append("other images, labels or test images")
    same_reading = row.backbone == record.backbone and all(
        row.protocol.get(label) == record.protocol.get(label)
        for label in ("precision", "image side", "prompt", "taps inside")
    )
    if row.weights_digest != record.weights_digest and same_reading:
        phrases.append("other weights of the network")
    return "; ".join(phrases) or "another version of the heads"


def _words(value: object) -> str:
    if value is None:
        return "none"
    return shown(value) if not isinstance(value, str) else value
