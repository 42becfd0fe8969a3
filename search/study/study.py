"""A study as Python users hold it: its results, its report and its classifier."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, final

from objectives.home import Home
from objectives.results import Finalist, StudyResults, Trial
from search.options.option import check_type
from spaces import SearchError
from spaces.notebook import brief, html_table

if TYPE_CHECKING:
    import pandas

    from dashboards.study.answer.answer import Answer
    from objectives.classifier import Classifier


@final
@dataclass(frozen=True)
class Study:
    """A study of the database, as it was when it was loaded.

    results: everything that the database knows of it. home: the folder of its reports and classifiers. storage: URL of
    the study database, which may hold a password, or its file.
    """

    results: StudyResults
    home: Home
    storage: str | Path = field(repr=False)

    @property
    def name(self) -> str:
        return self.results.name

    @property
    def dataset(self) -> str:
        """Name of the dataset in the catalog."""
        return self.results.dataset

    @property
    def backbone(self) -> str:
        return self.results.backbone

    @property
    def best(self) -> "Answer":
        """The setting to use, with its accuracy on validation and, after the finals, on test.

        Raises SearchError where no trial is complete.
        """
        from dashboards.study.answer.answer import study_answer

        best = study_answer(self.results)
        if best is None:
            raise SearchError(f"study {self.name} has no complete trial yet")
        return best

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, in the order of their numbers."""
        return self.results.trials

    @property
    def finalists(self) -> tuple[Finalist, ...]:
        """The re-evaluated settings, best mean on validation first."""
        return self.results.finalists

    def trials_frame(self) -> "pandas.DataFrame":
        """Return a pandas DataFrame with one row a trial, indexed by its number.

        Accuracies are shares in [0, 1], seconds are seconds. Raises ImportError where pandas is not installed.
        """
        import pandas

        from dashboards.study.data import trial_rows

        rows = trial_rows(self.results)
        index = pandas.Index([row.pop("number") for row in rows], name="number")
        return pandas.DataFrame(rows, index=index)

    def report(self, path: str | Path | None = None, form: str | None = None) -> Path:
        """Write the report and return its path.

        path: the file; None for one in the home folder. form: "html", "md", "latex", "json" or "csv"; None for the
        format that the path's suffix names. Raises UnknownNameError for another format or suffix, SearchError where
        the file cannot be written.
        """
        from search.reports.study_report import write_study_report

        check_type("path", path, str | Path | None)
        check_type("form", form, str | None)
        return write_study_report(self.results, self.home.reports, path, form)

    def export(
        self,
        path: str | Path | None = None,
        *,
        data_root: str | Path | None = None,
        backbone: str | Path | None = None,
    ) -> "Classifier":
        """Fit the best setting's classifier on train + validation images, write it and return it.

        path: the file, which ends in .safetensors; None for one in the home folder. The classifier's page is beside it
        and ends in .html. data_root, backbone: where the images and the network lie now, if they have moved. A
        UserWarning says where the classifier is not the one that the study tested, or is no better than chance. Raises
        SearchError in words.
        """
        from objectives.classifier import Classifier
        from search.database.store import Store
        from search.study.export import export_classifier

        for name, value in (("path", path), ("data_root", data_root), ("backbone", backbone)):
            check_type(name, value, str | Path | None)
        with Store.open(self.storage, reading=True) as store:
            saved = store.saved_options(self.name)
        out = None if path is None else Path(path)
        exported = export_classifier(self.results, saved, self.home, out, data_root, backbone)
        for note in exported.notes:
            warnings.warn(note, stacklevel=2)
        return Classifier.load(exported.path, backbone, self.home.cache)

    def __repr__(self) -> str:
        finished = f"{self.results.finished} finished trials"
        if not self.results.complete and not self.results.finals:
            return brief(f"Study({self.name!r}, {finished})")
        best = self.best
        test = "not tested" if best.test is None else f"test {best.test.metric.text(best.test.value)}"
        return brief(f"Study({self.name!r}, {finished}, best {best.setting}, {test})")

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows."""
        from dashboards.formatting import terminal_interval

        results, metric = self.results, self.results.metric.label
        facts: dict[str, object] = {
            "Dataset": f"{self.dataset}, {len(results.classes):,} classes",
            "Network": self.backbone,
            "Trials": f"{results.finished:,} finished",
        }
        if results.complete or results.finals:
            best = self.best
            facts |= {
                "Setting": best.setting,
                f"Test {metric}": terminal_interval(best.test) or "not tested",
                f"Validation {metric}": terminal_interval(best.validation),
                "Tied with it": f"{len(best.tied):,} other settings" if best.tied else None,
            }
        return html_table(f"Study {self.name}", facts)
