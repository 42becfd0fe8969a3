"""Small datasets in the layouts in which datasets are published, with images in unusual but valid formats.

Each builder writes one dataset below `root`, laid out as its authors' archives unpack. It returns what a reader must
find: for each image's path, the name of its class and whether the image belongs to the test split.
"""

import csv
import io
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from scipy.io import savemat

from objectives.datasets.layouts.subsets import IMAGENET_50, IMAGENET_100

Contents = dict[str, tuple[str, bool]]


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _saved(image.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)


def _deep(image: Image.Image) -> bytes:
    return _saved(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG")


FORMS: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG": lambda image: _saved(image, "JPEG"),
    "greyscale": lambda image: _saved(image.convert("L"), "JPEG"),
    "CMYK": lambda image: _saved(image.convert("CMYK"), "JPEG"),
    "palette": lambda image: _saved(image.quantize(16), "PNG"),
    "EXIF rotation": _turned,
    "16-bit": _deep,
    "PNG": lambda image: _saved(image, "PNG"),
}
"""The unusual formats of an image file's content, whatever the file's suffix is."""


def paint(path: Path, i: int) -> None:
    """Write a random 20x16 picture, seeded with i, in one of FORMS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(i))


def encoded(i: int) -> bytes:
    image = Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 20, 3), dtype=np.uint8))
    return list(FORMS.values())[i % len(FORMS)](image)


def write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def cells(values: Sequence[object]) -> np.ndarray:
    """Make a MATLAB cell array of one column."""
    column = np.empty((len(values), 1), object)
    column[:, 0] = values
    return column


def structs(**fields: Sequence[object]) -> np.ndarray:
    """Make a MATLAB struct array of one row."""
    rows = np.empty((1, len(next(iter(fields.values())))), [(name, object) for name in fields])
    for name, values in fields.items():
        for i, value in enumerate(values):
            rows[name][0, i] = value
    return rows


def cub(root: Path) -> Contents:
    classes = ["001.Black_footed_Albatross", "002.Grünspecht", "003.Great Auk"]
    ids = [str(i) for i in range(1, 13)]
    paths = [f"{classes[i // 4]}/{classes[i // 4][4:]}_{i % 4:04d}.jpg" for i in range(12)]
    return _birds(root / "CUB_200_2011", dict(zip("123", classes, strict=True)), ids, paths, "123")


def nabirds(root: Path) -> Contents:
    nodes = {"0": "Birds", "1": "Ducks, Geese, and Swans", "295": "Snow Goose (White morph)", "296": "Common Eider"}
    nodes |= {"817": "Common Eider"}
    ids = [f"{i:08x}-d64d-476d-beda-{i:012x}" for i in range(12)]
    used = ["295", "296", "817"]
    paths = [f"{int(used[i // 4]):04d}/{ids[i].replace('-', '')} ñ.jpg" for i in range(12)]
    contents = _birds(root / "nabirds", nodes, ids, paths, used)
    write_lines(root / "nabirds" / "hierarchy.txt", ["1 0", "295 1", "296 1", "817 1"])
    names = {"Common Eider": {"0296": "Common Eider [296]", "0817": "Common Eider [817]"}}
    return {path: (names.get(name, {}).get(path[:4], name), test) for path, (name, test) in contents.items()}


def _birds(folder: Path, classes: dict[str, str], ids: list[str], paths: list[str], used: Sequence[str]) -> Contents:
    """Write 12 images, 4 of each class in `used`, the last of each class in the test split."""
    for i, path in enumerate(paths):
        paint(folder / "images" / path, i)
    write_lines(folder / "classes.txt", [f"{key} {name}" for key, name in classes.items()])
    write_lines(folder / "images.txt", [f"{ids[i]} {paths[i]}" for i in range(12)])
    write_lines(folder / "image_class_labels.txt", [f"{ids[i]} {used[i // 4]}" for i in range(12)])
    write_lines(folder / "train_test_split.txt", [f"{ids[i]} {int(i % 4 < 3)}" for i in range(12)])
    return {paths[i]: (classes[used[i // 4]], i % 4 == 3) for i in range(12)}


AIRCRAFT_NAMES = {
    "variant": ["707-320", "727-200", "Großflugzeug An-12"],
    "family": ["Boeing 707", "Boeing 727", "Großflugzeug An"],
    "manufacturer": ["Boeing", "Boeing", "O. K. Антонов"],
}


def aircraft(root: Path, level: str = "variant") -> Contents:
    data = root / "fgvc-aircraft-2013b" / "data"
    images = {f"{34309 + i:07d}": (i // 6, ("train", "val", "test")[i % 3]) for i in range(18)}
    for i, image in enumerate(images):
        paint(data / "images" / f"{image}.jpg", i)
    for kind, file in (("variant", "variants"), ("family", "families"), ("manufacturer", "manufacturers")):
        names = AIRCRAFT_NAMES[kind]
        write_lines(data / f"{file}.txt", list(dict.fromkeys(names)))
        for parts in (("train",), ("val",), ("test",), ("train", "val")):
            lines = [f"{image} {names[c]}" for image, (c, part) in images.items() if part in parts]
            write_lines(data / f"images_{kind}_{''.join(parts)}.txt", lines)
    return {f"{image}.jpg": (AIRCRAFT_NAMES[level][c], part == "test") for image, (c, part) in images.items()}


def cars(root: Path) -> Contents:
    classes = ["AM General Hummer SUV 2000", "Ram C/V Cargo Van 2012", "Citroën 2CV 1949"]
    contents: Contents = {}
    (root / "devkit").mkdir(parents=True)
    savemat(root / "devkit" / "cars_meta.mat", {"class_names": cells(classes).T})
    tables = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    for split, table in tables.items():
        files = [f"{i + 1:05d}.jpg" for i in range(5)] + ["Fahrt nach Köln.jpg"]
        for i, file in enumerate(files):
            paint(root / f"cars_{split}" / file, i + 6 * (split == "test"))
            contents[f"cars_{split}/{file}"] = (classes[i % 3], split == "test")
        numbers = [np.uint8(i % 3 + 1) for i in range(6)]
        boxes = {f"bbox_{side}": [np.uint16(9)] * 6 for side in ("x1", "y1", "x2", "y2")}
        savemat(root / table, {"annotations": structs(**boxes, **{"class": numbers}, fname=files)})
    return contents


def dogs(root: Path) -> Contents:
    folders = ["n02085620-Chihuahua", "n02086240-Shih-Tzu", "n02116738-Afrikanischer Wildhünd"]
    contents: Contents = {}
    (root / "lists").mkdir(parents=True)
    for split in ("train", "test"):
        files = [f"{folders[i % 3]}/{folders[i % 3][:9]}_{i + 50 * (split == 'test')}.jpg" for i in range(6)]
        for i, file in enumerate(files):
            paint(root / "Images" / file, i)
            contents[file] = (folders[i % 3], split == "test")
        labels = np.array([[i % 3 + 1.0] for i in range(6)])
        variables = {"file_list": cells(files), "annotation_list": cells([f[:-4] for f in files]), "labels": labels}
        savemat(root / "lists" / f"{split}_list.mat", variables)
    return contents


def flowers(root: Path) -> Contents:
    for i in range(12):
        paint(root / "jpg" / f"image_{i + 1:05d}.jpg", i)
    numbers = [i % 3 + 1 for i in range(12)]
    savemat(root / "imagelabels.mat", {"labels": np.array([numbers], np.uint8)})
    sets = {"trnid": [1, 2, 3], "valid": [6, 5, 4], "tstid": [12, 11, 10, 9, 8, 7]}
    savemat(root / "setid.mat", {name: np.array([ids], np.uint16) for name, ids in sets.items()})
    return {f"image_{i:05d}.jpg": (str(numbers[i - 1]), name == "tstid") for name, ids in sets.items() for i in ids}


def imagenet(root: Path, wnids: Sequence[str] = ("n01440764", "n02105855", "n03445777")) -> Contents:
    """Write class folders in train/ and in val/, into which users commonly sort the validation images."""
    contents: Contents = {}
    for i, wnid in enumerate(wnids):
        for k, path in enumerate((f"train/{wnid}/{wnid} ü {i}.JPEG", f"val/{wnid}/ILSVRC2012_val_{i + 1:08d}.JPEG")):
            paint(root / path, 2 * i + k)
            contents[path] = (wnid, k == 1)
    return contents


def imagenet_devkit(root: Path) -> Contents:
    """Write a flat val/ and the development kit, whose class numbers do not follow the sorted WordNet ids."""
    contents = _flat(imagenet(root), root, "val")
    wnids = ["n03445777", "n01440764", "n02105855"]
    data = root / "ILSVRC2012_devkit_t12" / "data"
    truth = [str(wnids.index(wnid) + 1) for wnid, test in contents.values() if test]
    write_lines(data / "ILSVRC2012_validation_ground_truth.txt", truth)
    synsets = structs(
        ILSVRC2012_ID=[1.0, 2.0, 3.0, 4.0],
        WNID=[*wnids, "n00001740"],
        words=["golf ball", "tench, Tinca tinca", "golden retriever", "entity"],
        num_children=[0.0, 0.0, 0.0, 3.0],
    )
    savemat(data / "meta.mat", {"synsets": synsets.T})
    return contents


def imagenet_kaggle(root: Path) -> Contents:
    """Write Kaggle's folders, with a flat val/ and a LOC_val_solution.csv in another order."""
    inner = "ILSVRC/Data/CLS-LOC"
    contents = {f"{inner}/{path}": value for path, value in imagenet(root / inner).items()}
    contents = _flat(contents, root, f"{inner}/val")
    tests = [(Path(path).stem, wnid) for path, (wnid, test) in contents.items() if test]
    with (root / "LOC_val_solution.csv").open("w", newline="") as file:
        rows = [(name, f"{wnid} 85 1 499 272 {wnid} 3 4 80 90 ") for name, wnid in reversed(tests)]
        csv.writer(file).writerows([("ImageId", "PredictionString"), *rows])
    return contents


def _flat(contents: Contents, root: Path, val: str) -> Contents:
    flat: Contents = {}
    for path, (wnid, test) in contents.items():
        target = f"{val}/{Path(path).name}" if test else path
        (root / path).rename(root / target)
        flat[target] = (wnid, test)
    for folder in (root / val).iterdir():
        if folder.is_dir():
            folder.rmdir()
    return flat


def imagenet_100(root: Path) -> Contents:
    contents = imagenet(root, [*IMAGENET_100, "n01440764"])
    return {path: value for path, value in contents.items() if value[0] in IMAGENET_100}


def imagenet_50(root: Path) -> Contents:
    contents = imagenet(root, [*IMAGENET_50, "n01440764"])
    return {path: value for path, value in contents.items() if value[0] in IMAGENET_50}


def folder(root: Path) -> Contents:
    names = ("Möwe", "red kite")
    contents = {
        f"{split}/{name}/{name} 1.jpg": (name, split == "test") for split in ("train", "test") for name in names
    }
    for i, path in enumerate(contents):
        paint(root / path, i)
    return contents


def csv_file(root: Path) -> Contents:
    names = ["red kite", 'Möwe, "Larus"']
    contents = {f"bilder/Vögel {i}.jpg": (names[i % 2], i >= 8) for i in range(12)}
    for i, path in enumerate(contents):
        paint(root / path, i)
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        splits = ["train", "val", "validation", "Train", *["train"] * 4, *["test"] * 4]
        rows = [(name, path, split) for (path, (name, _)), split in zip(contents.items(), splits, strict=True)]
        csv.writer(file).writerows([("label", "path", "split"), *rows])
    return contents


class Python2Pickler(pickle._Pickler):
    """Write pickles as Python 2 did for CIFAR's authors: text and bytes are one type, numpy's names are old."""

    write: Callable[[bytes], object]
    memoize: Callable[[object], None]
    dispatch: ClassVar[dict[type, Callable[..., None]]] = dict(pickle._Pickler.dispatch)

    def save_string(self, value: str | bytes) -> None:
        content = value.encode() if isinstance(value, str) else value
        if len(content) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(content)]) + content)
        else:
            self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)
        self.memoize(value)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = obj.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{obj.__name__}\n".encode())
        self.memoize(obj)

    dispatch[str] = dispatch[bytes] = save_string


def pickled(value: object) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue()


CIFAR_CLASSES = {"cifar10": ["airplane", "automobile", "bird"], "cifar100": ["apple", "aquarium_fish", "baby"]}
CIFAR_BATCHES = {"cifar10": [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"], "cifar100": ["train", "test"]}


def cifar_arrays(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, for each batch, three uint8 images (3, 32, 32) and their labels."""
    rng = np.random.default_rng(len(name))
    batches = CIFAR_BATCHES[name]
    return [(rng.integers(0, 256, (3, 3, 32, 32), dtype=np.uint8), rng.permutation(3)) for _ in batches]


def cifar(root: Path, name: str, binary: bool = False) -> None:
    """Write the images of `cifar_arrays` in the Python version that is published, or in the binary one."""
    folders = {"cifar10": ("cifar-10-batches-py", "cifar-10-batches-bin")}
    folder = root / folders.get(name, ("cifar-100-python", "cifar-100-binary"))[binary]
    folder.mkdir(parents=True)
    fine = name == "cifar100"
    for batch, (images, labels) in zip(CIFAR_BATCHES[name], cifar_arrays(name), strict=True):
        rows = images.reshape(3, -1)
        if binary:
            coarse = [bytes([9]) if fine else b""] * 3
            records = zip(coarse, labels.tolist(), rows, strict=True)
            content = b"".join(super_ + bytes([label]) + row.tobytes() for super_, label, row in records)
            (folder / f"{batch}.bin").write_bytes(content)
        else:
            extra = {"coarse_labels": [9, 9, 9]} if fine else {}
            table = {"batch_label": batch, "data": rows, "filenames": ["a.png", "b.png", "c.png"], **extra}
            (folder / batch).write_bytes(pickled({**table, "fine_labels" if fine else "labels": labels.tolist()}))
    names = CIFAR_CLASSES[name]
    if binary:
        write_lines(folder / ("fine_label_names.txt" if fine else "batches.meta.txt"), [*names, ""])
    else:
        meta = {"fine_label_names": names, "coarse_label_names": ["fish"]} if fine else {"label_names": names}
        (folder / ("meta" if fine else "batches.meta")).write_bytes(pickled(meta))


HUGGINGFACE_FEATURES = {"image": {"_type": "Image"}, "label": {"names": ["kite", "Möwe"], "_type": "ClassLabel"}}


def huggingface_table(first: int, count: int, features: dict[str, Any] = HUGGINGFACE_FEATURES) -> Any:
    """Make a table of the `datasets` library with pictures first to first + count - 1, of alternating classes."""
    import pyarrow as pa

    images = [{"bytes": encoded(i), "path": f"{i}.jpg"} for i in range(first, first + count)]
    columns = {"image": pa.array(images), "label": pa.array([i % 2 for i in range(first, first + count)], pa.int64())}
    return pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def huggingface_parquet(root: Path) -> None:
    """Write pictures 0 to 7 (train, two shards) and 8 to 11 (test) as on the hub: data/<split>-<i>-of-<n>.parquet."""
    import pyarrow.parquet as pq

    (root / "data").mkdir()
    for name, first in (("train-00000-of-00002", 0), ("train-00001-of-00002", 4), ("test-00000-of-00001", 8)):
        pq.write_table(huggingface_table(first, 4), root / "data" / f"{name}.parquet")


def huggingface_saved(root: Path) -> None:
    """Write the same pictures as `save_to_disk` does: <split>/state.json and the Arrow streams that it lists."""
    shards = {"train": [(0, 4), (4, 4)], "test": [(8, 4)]}
    (root / "dataset_dict.json").write_text(json.dumps({"splits": list(shards)}), encoding="utf-8")
    for split, parts in shards.items():
        save_split(root / split, [huggingface_table(first, count) for first, count in parts])


def save_split(folder: Path, tables: Sequence[Any]) -> None:
    import pyarrow as pa

    folder.mkdir(parents=True)
    names = [f"data-{k:05d}-of-{len(tables):05d}.arrow" for k in range(len(tables))]
    for name, table in zip(names, tables, strict=True):
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table, max_chunksize=3)
    state = {"_data_files": [{"filename": name} for name in names], "_split": folder.name}
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")


FILES: dict[str, Callable[[Path], Contents]] = {
    "cub": cub,
    "nabirds": nabirds,
    "aircraft": aircraft,
    "aircraft-family": lambda root: aircraft(root, "family"),
    "aircraft-manufacturer": lambda root: aircraft(root, "manufacturer"),
    "cars": cars,
    "dogs": dogs,
    "flowers": flowers,
    "imagenet": imagenet,
    "imagenet-100": imagenet_100,
    "imagenet-50": imagenet_50,
    "folder": folder,
    "csv": csv_file,
}
"""Builders of the datasets in the catalog that consist of image files, by name."""
