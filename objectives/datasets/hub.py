"""Datasets by hub id: fetches the Parquet files of a dataset's repository into the cache of huggingface_hub."""

from collections.abc import Sequence
from glob import escape
from pathlib import Path

from objectives.datasets.layouts.huggingface import configurations, outside
from objectives.datasets.layouts.layout import briefly
from spaces.errors import DatasetError, first_line


def hub_folder(hub_id: str) -> tuple[Path, tuple[str, ...]]:
    """Fetch the only configuration of a hub dataset; return its folder, which all programs share, and what is left out.

    What is left out are phrases for `Dataset.left_out` about other Parquet files of the hub, if it can be reached. Each
    file is fetched once. If the hub cannot be reached, the files that were fetched before are used. Raises DatasetError
    if the hub has no such dataset or refuses it, or if it has no Parquet files or several configurations.
    """
    from huggingface_hub import snapshot_download

    names = _listed(hub_id)
    read = None if names is None else _files_read(hub_id, names)
    patterns = ["*.parquet"] if read is None else [escape(name) for name in read]
    try:
        folder = Path(snapshot_download(hub_id, repo_type="dataset", allow_patterns=patterns))
    except Exception as error:  # of the HTTP client that huggingface_hub is built on, which differs between versions
        raise DatasetError(
            f"dataset {hub_id} is no local folder and cannot be fetched from the hub: {first_line(error)}; "
            "type the same command where the hub can be reached, or give its folder as `data_root`"
        ) from error
    return folder, () if names is None or read is None else outside(names, read)


def _listed(hub_id: str) -> Sequence[str] | None:
    """Return the names of the repository's files; None if the hub cannot be reached."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        HfApi().dataset_info(hub_id)  # fails at once without a hub; the listing retries for half a minute
        return HfApi().list_repo_files(hub_id, repo_type="dataset")
    except GatedRepoError:
        raise DatasetError(
            f"dataset {hub_id} is given to those who accept its terms: do so at "
            f"https://huggingface.co/datasets/{hub_id}, then type `hf auth login`"
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise DatasetError(
            f"{hub_id} is no local folder, and the hub has no such dataset: correct the name, or type `hf auth login` "
            "if it is a private one"
        ) from None
    except Exception:  # as above
        return None


def _files_read(hub_id: str, names: Sequence[str]) -> list[str]:
    """Return the files that make up the dataset, among all files of the repository."""
    configs = configurations(names)
    download = f"hf download {hub_id} --repo-type dataset"
    if len(configs) > 1:
        raise DatasetError(
            f"dataset {hub_id} has several configurations, {briefly(configs)}: fetch one, as by `{download} --include "
            f"'{next(iter(configs))}/*' --local-dir DIR`, and give DIR as `data_root`"
        )
    if not configs:
        raise DatasetError(
            f"dataset {hub_id} has no Parquet files of a split train on the hub, but {briefly(names)}: if the hub has "
            f"converted it, type `{download} --revision refs/convert/parquet --local-dir DIR`, "
            "and give DIR as `data_root`"
        )
    return [name for parts in configs.values() for files in parts.values() for name in files]
