"""Fuzzes the reading of Hugging Face tables: made-up datasets of every form and type, some of them damaged.

    python -m tests.fuzzing.hub_tables --seconds 3600 --seed 0
    python -m tests.fuzzing.hub_tables --only 1234 --seed 0    # one input again, with its traceback

What has a clear meaning must be read: every labelled image once, with its class and its split, and the others counted.
What has none, and what is damaged, must be refused in one line that names the folder. Anything else is a fault: an
error of another kind, an image lost or doubled, a wrong class, a refusal without need. Prints how many inputs were
tried, and each distinct fault once.
"""

import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from objectives.datasets.dataset import Dataset
from objectives.datasets.layouts import read_huggingface
from spaces import DatasetError
from tests.fuzzing.loop import Outcomes, count_outcomes, run_command

WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
    "": ("extra", "unsupervised", "trainer", "contest"),
}
NAMES = (
    "{split}-{k:05d}-of-{n:05d}.parquet",
    "{split}-{k:05d}-of-{n:05d}-3f5c.parquet",
    "data/{split}-{k:05d}-of-{n:05d}.parquet",
    "a b/{split}-{k:05d}-of-{n:05d}.parquet",
    "birds-{split}-{k:05d}-of-{n:05d}.parquet",
    "default/{split}/{k:04d}.parquet",
    "{split}/part-{k:05d}-of-{n:05d}.parquet",
    "{split}/{k}.PARQUET",
    "data/{split}_{k}.parquet",
    "{split}.{k}.parquet",
    "my {split} {k}.parquet",
    "{split}_files/{k}.parquet",
)
UNREAD_METADATA = (
    *(None, b"", b"[]", b"null", b"{", b"\xff", b"[" * 50_000, b'{"info": null}', b'{"info": {"features": null}}'),
    *(b'{"info": {"features": []}}', b'{"info": {"features": {"label": 3, "image": [{"_type": "Image"}]}}}'),
    b'{"info": {"features": {"label": {"_type": {"x": 1}}, "image": {"_type": null}}}}',
)
DAMAGED_JSON = (b"", b"[]", b"{}", b"null", b"{", b"\xff\xfe", b"[" * 50_000, b'{"splits": [null]}')
STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})
NESTED = pa.list_(pa.struct({"a": pa.binary()}))
TOO_FEW = ("class ", "holding ", "at least 2 classes")
"""Words with which a message begins if no test split can be taken from the data."""
CLASSES = ("kite", "owl", "wren", "gull")


@final
@dataclass
class Made:
    """A made-up dataset. truth: SHA-256 of each image → its split ("" for another) and its class, None without a label.

    read: the files whose damage matters. must: "read", "refuse", or "either". done: what was drawn, for people.
    """

    truth: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    read: list[Path] = field(default_factory=list)
    must: str = "read"
    done: list[str] = field(default_factory=list)


Encoder = Callable[[Sequence[int | None], random.Random], Any]


def whole_numbers(kind: Any) -> Encoder:
    def encode(labels: Sequence[int | None], chance: random.Random) -> Any:
        signed = not str(kind).startswith("u")
        missing = (None, -1) if signed else (None,)
        return pa.array([chance.choice(missing) if label is None else label for label in labels], kind)

    return encode


def fractions(kind: Any) -> Encoder:
    def encode(labels: Sequence[int | None], chance: random.Random) -> Any:
        missing = chance.choice([float("nan"), -1.0])
        return pa.array(np.array([missing if label is None else label for label in labels], kind))

    return encode


def decimals(labels: Sequence[int | None], chance: random.Random) -> Any:
    kind = chance.choice([pa.decimal128(9, 2), pa.decimal256(40, 1)])
    return pa.array([None if label is None else Decimal(label) for label in labels], kind)


def text(kind: Any) -> Encoder:
    def encode(labels: Sequence[int | None], chance: random.Random) -> Any:
        names = [chance.choice((None, "")) if label is None else CLASSES[label] for label in labels]
        return pa.array(names).cast(kind)

    return encode


def in_dictionary(encode: Encoder) -> Encoder:
    return lambda labels, chance: encode(labels, chance).dictionary_encode()


NUMBERS: dict[str, Encoder] = {
    **{str(kind()): whole_numbers(kind()) for kind in (pa.int8, pa.int16, pa.int32, pa.int64)},
    **{str(kind()): whole_numbers(kind()) for kind in (pa.uint8, pa.uint16, pa.uint32, pa.uint64)},
    **{kind.__name__: fractions(kind) for kind in (np.float16, np.float32, np.float64)},
    "decimal": decimals,
    "dictionary of numbers": in_dictionary(whole_numbers(pa.int64())),
}
TEXTS: dict[str, Encoder] = {
    **{str(kind()): text(kind()) for kind in (pa.string, pa.large_string, pa.string_view, pa.binary, pa.large_binary)},
    "dictionary of text": in_dictionary(text(pa.string())),
}
UNCLEAR: dict[str, Encoder] = {
    "lists": lambda labels, _: pa.array([[label or 0] for label in labels]),
    "structs": lambda labels, _: pa.array([{"label": label} for label in labels]),
    "dates": lambda labels, _: pa.array([label or 0 for label in labels], pa.date32()),
    "fractions": lambda labels, _: pa.array([0.5 for _ in labels]),
    "huge": lambda labels, _: pa.array([2**64 - 1 for _ in labels], pa.uint64()),
    "no text": lambda labels, _: pa.array([b"\xff\xfe" for _ in labels]),
}

IMAGES: dict[str, Callable[[Any], Any]] = {
    "struct": lambda content: pc.make_struct(
        content, pa.nulls(len(content), pa.string()), field_names=["bytes", "path"]
    ),
    "struct, turned": lambda content: pc.make_struct(pa.nulls(len(content)), content, field_names=["path", "bytes"]),
    "struct of bytes": lambda content: pc.make_struct(content, field_names=["bytes"]),
    "binary": lambda content: content,
    "large binary": lambda content: content.cast(pa.large_binary()),
    "binary view": lambda content: content.cast(pa.binary_view()),
}
NO_IMAGES: dict[str, Callable[[Any], Any]] = {
    "paths": lambda content: pa.array([f"{i}.jpg" for i in range(len(content))]),
    "struct of paths": lambda content: pc.make_struct(pa.array(["a.jpg"] * len(content)), field_names=["path"]),
    "no bytes": lambda content: pa.array([{"bytes": None, "path": "a.jpg"}] * len(content), STRUCT),
    "lists": lambda content: pa.array([[image] for image in content.to_pylist()], pa.list_(pa.binary())),
    "pixels": lambda content: pa.array([[[0, 1], [2, 3]]] * len(content), pa.list_(pa.list_(pa.uint8()))),
}


def make(root: Path, chance: random.Random) -> Made:
    """Make a dataset, and damage it in one of three cases."""
    made = Made()
    saved = chance.random() < 0.4
    named = chance.choice([True, False])
    images_kind, images = chance.choice([*IMAGES.items()])
    labels_kind, encode = chance.choice([*NUMBERS.items(), *TEXTS.items()])
    if chance.random() < 0.1:
        images_kind, images = chance.choice([*NO_IMAGES.items()])
        made.must = "refuse"
    if chance.random() < 0.1:
        labels_kind, encode = chance.choice([*UNCLEAR.items()])
        made.must = "refuse"
    image_name = chance.choice(["image", "img", "Image", "photo", "pixel_values"])
    label_name = chance.choice(["label", "labels", "fine_label", "Label", "class", "category"])
    metadata: bytes | None = chance.choice(UNREAD_METADATA)
    if named:
        feature = {"names": list(CLASSES), "_type": "ClassLabel"}
        features = {image_name: {"_type": "Image"}, label_name: feature, "id": {"dtype": "int64", "_type": "Value"}}
        metadata = json.dumps({"info": {"features": features}}).encode()
    is_text = labels_kind in TEXTS
    made.done += [images_kind, f"labels {labels_kind}", image_name, label_name, f"named {named}", str(metadata)[:60]]

    others = chance.choice([0, 0, 1, 3])
    splits = ["train", *chance.sample(["validation", "test", ""], chance.randrange(4))]
    words = {split: chance.choice(WORDS[split]) for split in splits}
    words = {split: chance.choice([word, word, word.upper(), word.title()]) for split, word in words.items()}
    pattern = chance.choice(NAMES)
    made.done += [str(words), "saved" if saved else pattern]
    number = 0
    for split in splits:
        share = chance.choice([0, 0, 0.3]) if split == "train" else chance.choice([0, 0, 0.3, 1])
        shards = chance.choice([1, 1, 2, 3])
        rows = [8 * len(CLASSES)] + [chance.choice([0, 5, 9]) for _ in range(shards - 1)]
        chance.shuffle(rows)
        tables = []
        for count in rows:
            contents = [f"{root.name} {number + i}".encode() for i in range(count)]
            classes = [
                None if share == 1 or (i >= 16 and chance.random() < share) else (number + i) % len(CLASSES)
                for i in range(count)
            ]
            number += count
            for content, label in zip(contents, classes, strict=True):
                name = None if label is None else CLASSES[label] if named or is_text else str(label)
                made.truth[hashlib.sha256(content).hexdigest()] = split, name
            columns = {image_name: images(pa.array(contents, pa.binary())), label_name: encode(classes, chance)}
            columns |= {f"other.{k}": pa.array([[{"a": b"x"}]] * count, NESTED) for k in range(others)}
            if split == "test" and share == 1 and chance.random() < 0.5:
                del columns[label_name]
            order = chance.sample(sorted(columns), len(columns))
            table = pa.table({name: columns[name] for name in order})
            tables.append(table.replace_schema_metadata({b"huggingface": metadata} if metadata is not None else None))
        files = (
            write_saved(root, words[split], tables, chance)
            if saved
            else write(root, pattern, words[split], tables, chance)
        )
        made.read += files if split else []
    if saved and chance.random() < 0.7:
        (root / "dataset_dict.json").write_text(json.dumps({"splits": list(words.values())}), encoding="utf-8")
    if chance.random() < 0.33:
        damage(root, made, saved, chance)
    return made


def write(root: Path, pattern: str, word: str, tables: Sequence[Any], chance: random.Random) -> list[Path]:
    has_names = b"ClassLabel" in (tables[0].schema.metadata or {}).get(b"huggingface", b"")
    files = [root / pattern.format(split=word, k=k, n=len(tables)) for k in range(len(tables))]
    for file, table in zip(files, tables, strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(
            table,
            file,
            row_group_size=chance.choice([3, 1000]),
            compression=chance.choice(["none", "snappy", "gzip", "zstd"]),
            use_dictionary=chance.choice([True, False]),
            data_page_version=chance.choice(["1.0", "2.0"]),
            store_schema=has_names or chance.random() < 0.7,  # it has the class names
        )
    return files


def write_saved(root: Path, word: str, tables: Sequence[Any], chance: random.Random) -> list[Path]:
    folder = root / word
    folder.mkdir()
    files = [folder / f"data-{k:05d}-of-{len(tables):05d}.arrow" for k in range(len(tables))]
    options = pa.ipc.IpcWriteOptions(compression=chance.choice([None, None, "zstd"]))
    for file, table in zip(files, tables, strict=True):
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema, options=options) as stream:
            stream.write_table(table, max_chunksize=chance.choice([3, 1000]))
    state = {"_data_files": [{"filename": file.name} for file in files]}
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
    return files


def damage(root: Path, made: Made, saved: bool, chance: random.Random) -> None:
    file = chance.choice(made.read)
    content = file.read_bytes()
    act = chance.choice(["cut", "empty", "pointer", "flip", "remove", "dangling", "folder", "json", "twice"])
    made.done.append(f"{act} {file.relative_to(root)}")
    made.must = "refuse"
    if act == "cut":
        file.write_bytes(content[: chance.randrange(len(content))])
    elif act == "empty":
        file.write_bytes(b"")
    elif act == "pointer":
        file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n")
    elif act == "flip":
        made.must = "anything"
        damaged = bytearray(content)
        for _ in range(chance.choice([1, 4, 50])):
            near = min(len(damaged), chance.choice([300, 1500, len(damaged)]))  # descriptions stand at both ends
            damaged[chance.choice([1, -1]) * chance.randrange(near)] = chance.randrange(256)
        file.write_bytes(damaged)
    elif act in ("remove", "dangling", "folder"):
        file.unlink()
        if act == "dangling":
            file.symlink_to(root / "nowhere")
        elif act == "folder":
            file.mkdir()
        if act != "dangling" and not saved:
            made.must = "anything"  # without numbers nobody can know
    elif act == "json":
        made.must = "anything"
        chosen = chance.choice([*root.rglob("*.json"), root / "dataset_dict.json"])
        chosen.write_bytes(chance.choice(DAMAGED_JSON))
    else:
        made.must = "anything"
        shutil.copy(file, file.with_name(f"copy-{file.name}"))


def check(root: Path, made: Made) -> str:
    """Read a made dataset. Return "read", "refused", or a fault in words."""
    try:
        dataset = read_huggingface(root)
    except DatasetError as error:
        message = str(error)
        if "\n" in message or not message.isprintable():
            return f"a refusal of several lines: {message[:200]!r}"
        if str(root) not in message and not message.startswith(TOO_FEW):
            return f"a refusal without the file: {message[:200]}"
        return f"refused without need: {message[:300].replace(str(root), '')}" if made.must == "read" else "refused"
    digests = [dataset.images.digest(i) for i in range(len(dataset))]
    if made.must == "anything":
        return "read"
    if made.must == "refuse":
        return "read, and should be refused"
    return difference(dataset, digests, made) or "read"


def difference(dataset: Dataset, digests: Sequence[str], made: Made) -> str:
    """Return how a dataset differs from what was made; "" if it does not."""
    wanted = {digest: truth for digest, truth in made.truth.items() if truth[0] and truth[1] is not None}
    if sorted(digests) != sorted(wanted):
        return f"{len(digests)} images in place of {len(wanted)}"
    wrong = [
        digest
        for digest, label in zip(digests, dataset.labels, strict=True)
        if dataset.classes[label] != wanted[digest][1]
    ]
    if wrong:
        return f"{len(wrong)} images in a wrong class"
    splits = {split for split, _ in wanted.values()}
    test = "test" if "test" in splits else "validation" if "validation" in splits else None
    if test and any(
        (wanted[digest][0] == test) != is_test for digest, is_test in zip(digests, dataset.is_test, strict=True)
    ):
        return "images in a wrong split"
    unlabelled = Counter(split for split, label in made.truth.values() if split and label is None)
    phrases = [phrase for phrase in dataset.left_out if phrase.endswith("without a label")]
    if Counter({phrase.split()[4]: int(phrase.split()[0].replace(",", "")) for phrase in phrases}) != unlabelled:
        return f"left out {dict(unlabelled)}, and said {phrases}"
    if len(dataset.left_out) - len(phrases) != any(split == "" for split, _ in made.truth.values()):
        return f"other splits are not named: {dataset.left_out}"
    return ""


def make_and_describe(root: Path, chance: random.Random) -> tuple[str, Callable[[], str]]:
    root.mkdir()
    made = make(root, chance)
    return "; ".join(made.done), partial(check, root, made)


def fuzz(seed: int, numbers: Iterable[int], seconds: float) -> Outcomes:
    """Read made-up tables until `seconds` have passed."""
    return count_outcomes(make_and_describe, seed, numbers, seconds)


if __name__ == "__main__":
    run_command(__doc__, fuzz)
