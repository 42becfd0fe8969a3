"""Datasets by hub id: the Parquet files of a dataset's repository, fetched into the hub's own cache."""

from collections.abc import Sequence
from glob import escape
from pathlib import Path

from objectives.datasets.layouts.huggingface import configurations
from objectives.datasets.layouts.layout import briefly
from spaces.errors import DatasetError


def hub_folder(hub_id: str) -> Path:
    """The folder of a hub dataset's one configuration, shared with every other program; each file is fetched once.

    What was fetched before is taken where the hub cannot be reached. Raises DatasetError where the hub has no such
    dataset or does not give it, or where it has no Parquet files or several configurations.
    """
    from huggingface_hub import snapshot_download

    names = _listed(hub_id)
    wanted = ["*.parquet"] if names is None else _wanted(hub_id, names)
    try:
        return Path(snapshot_download(hub_id, repo_type="dataset", allow_patterns=wanted))
    except Exception as error:  # of the HTTP client that huggingface_hub is built on, which differs between versions
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DatasetError(
            f"dataset {hub_id} is no local folder and cannot be fetched from the hub: {reason}; type the same command "
            "where the hub can be reached, or give --data-root DIR"
        ) from error


def _listed(hub_id: str) -> Sequence[str] | None:
    """The names of the repository's files; None where the hub cannot be reached."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        HfApi().dataset_info(hub_id)  # says at once that there is no hub; the listing tries again for half a minute
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


def _wanted(hub_id: str, names: Sequence[str]) -> list[str]:
    """Patterns of the files, of all that the repository has, which make up the dataset."""
    found = configurations(names)
    download = f"hf download {hub_id} --repo-type dataset"
    if len(found) > 1:
        raise DatasetError(
            f"dataset {hub_id} has several configurations, {briefly(found)}: fetch one, as by `{download} --include "
            f"'{next(iter(found))}/*' --local-dir DIR`, and give --data-root DIR"
        )
    if not found:
        raise DatasetError(
            f"dataset {hub_id} has no Parquet files of a split train on the hub, but {briefly(names)}: if the hub has "
            f"converted it, type `{download} --revision refs/convert/parquet --local-dir DIR`, and give --data-root DIR"
        )
    return [escape(name) for parts in found.values() for files in parts.values() for name in files]
