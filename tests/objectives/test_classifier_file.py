"""Every head's classifier from a file is the one that was saved; what else may lie there is an error in words."""

import base64
import json
import math
import random
import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from objectives.classifier_facts import ENTRY
from objectives.classifier_file import Origin, Saved, is_classifier, load, save
from objectives.features.versions import FIRST
from objectives.heads.catalog import HEADS
from objectives.heads.head import LabelledFeatures
from objectives.sealed_tensors import UNSEALED, seal
from spaces import ClassifierError, Setting, Tap
from tests.support.heads import OPTIONS, blobs, blobs_of_sizes, fit_head

CLASSES = ("wren", "Zaunkönig", "")
GROUPS = ((1,), (2,))
ORIGIN = Origin(
    "bundled",
    "b" * 64,
    "float32",
    "squares",
    7,
    {9: 8, 12: 4},
    image_side=64,
    prompt="a bird",
    taps_inside=("query", "mlp"),
)
WORTH = {"study": "birds-ü", "test_accuracy": 0.5, "test_interval": [0.4, 0.6]}


def reading(head: str) -> Setting:
    return Setting(20, 9, 2, head, 3, tuple(OPTIONS[head].items()), (Tap(12, 90),))


@cache
def trained(name: str, balanced: bool = False) -> tuple[Saved, LabelledFeatures]:
    sets = blobs_of_sizes((60, 10, 20), 1.0, seed=1), blobs(3, 40, 1.0, seed=2)
    train, validation = (replace(data, groups=GROUPS) for data in sets)
    _, fit = fit_head(name, replace(train, balanced=balanced), validation, 3)
    return Saved(fit.classifier, reading(name), CLASSES, GROUPS, ORIGIN, WORTH), validation


def rewritten(path: Path, tensors: dict[str, torch.Tensor] | None = None, **changes: object) -> None:
    """The file with other tensors, or other entries in the classifier's description, and the digest of that."""
    with safe_open(path, framework="pt") as file:
        record = json.loads(file.metadata()[ENTRY])
    save_file(tensors or load_file(path), path, metadata={ENTRY: json.dumps(record | changes), **UNSEALED})
    seal(path)


@pytest.mark.parametrize("name", HEADS)
class TestSaved:
    @pytest.mark.parametrize("balanced", [False, True])
    def test_gives_the_same_logits(self, name: str, balanced: bool, tmp_path: Path) -> None:
        saved, validation = trained(name, balanced)
        path = tmp_path / "classifier.safetensors"
        path.write_text("what was there before")
        save(saved, path)
        assert list(tmp_path.iterdir()) == [path]
        again = load(path)
        assert (again.setting, again.classes, again.groups) == (reading(name), CLASSES, GROUPS)
        assert (again.origin, again.results) == (ORIGIN, WORTH)
        features = validation.features
        assert torch.equal(again.classifier.logits(features), saved.classifier.logits(features))
        state = saved.classifier.state()
        assert again.classifier.state().keys() == state.keys()
        assert all(torch.equal(again.classifier.state()[key], state[key]) for key in state)

    def test_a_damaged_file_is_said_to_be(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "classifier.safetensors"
        save(trained(name)[0], path)
        whole = path.read_bytes()
        for damaged in (whole[:-9], whole[: len(whole) // 2], whole[:5], b"", b"not tensors at all, but words"):
            path.write_bytes(damaged)
            with pytest.raises(ClassifierError, match="is damaged or is no safetensors file"):
                load(path)
        path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 64]) + whole[-2:])
        with pytest.raises(ClassifierError, match="is damaged: its bytes are not those that were saved"):
            load(path)

    def test_what_does_not_fit_its_head_is_refused(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "classifier.safetensors"
        setting = reading(name).to_dict()
        changes: list[dict[str, Any]] = [{"groups": [[5]]}, {"groups": [[1], [5]]}, {"groups": 3}, {"origin": {}}]
        spoilt: list[dict[str, Any]] = [{"pool": 3}, {"pool": "2"}, {"further": []}]
        changes += [{"setting": setting | change} for change in spoilt]
        changes += [{"setting": None}, {"origin": ORIGIN.to_dict() | {"grids": [9]}}, {"worth": 3}]
        changes += [{"classes": CLASSES[:2]}, {"classes": [*CLASSES, "more"]}]
        for change in changes:
            save(trained(name)[0], path)
            if name == "knn" and len(change.get("classes", ())) == 4:
                continue  # its training images may be of fewer classes than there are
            rewritten(path, **change)
            with pytest.raises(ClassifierError, match="has no classifier that this version can rebuild"):
                load(path)


def test_what_is_no_saved_classifier_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "classifier.safetensors"
    with pytest.raises(ClassifierError, match="there is no classifier at"):
        load(path)
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ClassifierError, match="holds tensors but no classifier"):
        load(path)
    save(trained("linear")[0], path)
    for form in (3, 0, True, "2", None, 10**30):
        rewritten(path, format=form)
        with pytest.raises(ClassifierError, match=r"has format .*, this version reads 1 and 2"):
            load(path)
    save(trained("linear")[0], path)
    rewritten(path, setting=reading("linear").to_dict() | {"head": "liner"})
    with pytest.raises(ClassifierError, match=rf"{path} has no classifier .*unknown head 'liner'; did you mean 'lin"):
        load(path)


def test_an_early_file_has_the_first_noise(tmp_path: Path) -> None:
    path = tmp_path / "classifier.safetensors"
    save(trained("linear")[0], path)
    rewritten(path, origin={name: value for name, value in ORIGIN.to_dict().items() if name != "noise"})
    assert load(path).origin == ORIGIN
    assert FIRST["noise"] == ORIGIN.noise


def refusal(path: Path) -> str:
    with pytest.raises(ClassifierError) as refused:
        load(path)
    message = str(refused.value)
    assert str(path) in message
    assert message.isprintable()
    assert len(message) < 1000
    return message


def test_every_flipped_bit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save(trained("linear")[0], path)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    tensors = random.Random(0).sample(range(8 * header, 8 * len(whole)), 500)
    for bit in [*range(8 * header), *tensors]:
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert "is damaged" in refusal(path)


FORMER = (
    b"c-o~?L8{v@5DoMqLEAdUk{u^x(e8SP#wN(t*cNdlSCSh-2>fMF)%IxBSjyl0woob%Sa0Ty-W!d-y<08oPEMx_I4-#3rxQ8cNjq|DWhcRq1G!hE"
    b")8@imMGkA4tSe%{IjMR)`(QKb_Ke>-#+<x>bub}NWQa^!kFQi=_|?9i2H*k@6){ruP>~0s%k8ja9V>D*pelm+XFjWQRn1w}l}h^SYeaja=P4u~"
    b"X}v(&$X=?aJl>ugtsvaf%u0+PLcuG@esDHM{&R(rlYv%RsZ}W2jhefhg_tv3S!`v9*)KCUXfw1FmQL(~B`Iu_pD&GE`l7V7(T3Be9X1M|WlWF@"
    b"V$<9<&B)Kdn%KvyHg1SzteeFx8kGjCFDXLy{<Q+W%?i<M+p=hiZNZDYWDVc7tj%+vbT7&v^eY&&_mnr?-0(D;r<A6<=oJM9n58sNv-j;ZN2|O8"
    b"2g+&_JD;WdH1mQUB#D#er*3jyq1VbS4y16m2|W5KXFkae98X79CuA8~-F1E@edaMs_O<6-fU7_A=v&@Cp$v((<s<wPld^=CNDb5U7q!Xn*k!_s"
    b"`tex%wOYM=@ca8}_4A|uE&YDM{o@x{(jk`"
)
"""A file of format 1, which a version before format 2 wrote: zlib, in base 85."""
FORMER_ANSWER = torch.tensor([[0.18242551, 0.81757444], [0.92414182, 0.07585818]])


def test_a_file_of_the_former_format_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(zlib.decompress(base64.b85decode(FORMER)))
    saved = load(path)
    assert saved.setting == Setting(40, 3, 1, "ridge")
    assert saved.classes == ("wren", "Zaunkönig")
    assert torch.allclose(saved.classifier.logits(torch.tensor([[[[1.0]]], [[[2.0]]]])).softmax(dim=1), FORMER_ANSWER)
    for bit in range(8 * (len(path.read_bytes()) - 16), 8 * len(path.read_bytes())):
        changed = bytearray(zlib.decompress(base64.b85decode(FORMER)))
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert "its weights are not those that were saved" in refusal(path)


ABSURD: list[Any] = [
    None,
    True,
    [],
    {},
    "",
    "x",
    -1,
    0,
    1.5,
    10**9,
    10**18,
    10**400,
    1e400,
    math.nan,
    [[]],
    [None],
    ["\0"],
]


@pytest.mark.parametrize("name", ["linear", "knn", "prototype", "cnn", "mlp", "attention"])
def test_absurd_descriptions_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save(trained(name)[0], path)
    with safe_open(path, framework="pt") as file:
        record = json.loads(file.metadata()[ENTRY])
    places: list[tuple[str, ...]] = [(entry,) for entry in record if entry not in ("worth", "versions")]
    places += [(part, entry) for part in ("setting", "origin") for entry in record[part]]
    sound = 0
    for *parents, entry in places:
        for value in (*ABSURD, ...):
            changed = json.loads(json.dumps(record))
            inner = changed[parents[0]] if parents else changed
            if value is ...:
                del inner[entry]
            else:
                inner[entry] = value
            rewritten(path, **changed)
            if value is ... and not parents:
                save_file(load_file(path), path, metadata={ENTRY: json.dumps(changed), **UNSEALED})
                seal(path)
            try:
                load(path)
            except ClassifierError:
                refusal(path)
            else:
                sound += 1  # such as another seed, name of a network, or learning rate
    assert sound < len(places) * len(ABSURD) / 4


HEADERS = {
    "huge length": (2**63 - 1).to_bytes(8, "little"),
    "length of all": b"\xff" * 8,
    "nested": b"[" * 100_000,
    "nested objects": b'{"a":' * 100_000,
    "nested metadata": b'{"__metadata__":' + b"[" * 100_000,
    "no object": b"[1, 2]  ",
    "number of thousands of digits": b'{"a":' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("header", HEADERS)
def test_absurd_headers_are_refused_in_one_line(header: str, tmp_path: Path) -> None:
    path, content = tmp_path / "c.safetensors", HEADERS[header]
    path.write_bytes(content if len(content) == 8 else len(content).to_bytes(8, "little") + content)
    assert "is damaged or is no safetensors file" in refusal(path)
    assert not is_classifier(path)


def test_a_file_without_its_digest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save(trained("linear")[0], path)
    with safe_open(path, framework="pt") as file:
        entries = file.metadata()
    for digest in ({}, {"digest": ""}, {"digest": "0" * 32}, {"digest": "0" * 31}, {"digest": 'ü"'}):
        save_file(load_file(path), path, metadata={ENTRY: entries[ENTRY], **digest})
        assert "is damaged: its" in refusal(path)


def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    saved, _ = trained("linear")
    with pytest.raises(ClassifierError, match="cannot write the classifier to"):
        save(saved, tmp_path / "absent" / "classifier.safetensors")
    (tmp_path / "taken").mkdir()
    with pytest.raises(ClassifierError, match="cannot write the classifier to"):
        save(saved, tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
