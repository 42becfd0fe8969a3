"""A few inputs of the fuzzers of classifier files and archives, so that they stay alive."""

from pathlib import Path

from tests.fuzzing import archives, classifier_files


def test_a_changed_classifier_file_is_refused_in_one_line(tmp_path: Path) -> None:
    classifiers = classifier_files.build_classifiers(tmp_path)
    outcomes, faults = classifier_files.fuzz(classifiers, seed=5, numbers=range(300), seconds=60)
    assert not faults, "\n".join(faults.values())
    assert outcomes["refused"] > outcomes["read"] > 0


def test_an_archive_is_unpacked_below_its_folder_or_refused() -> None:
    outcomes, faults = archives.fuzz(seed=5, numbers=range(300), seconds=60)
    assert not faults, "\n".join(faults.values())
    assert outcomes["refused"] > outcomes["read"] > 0
