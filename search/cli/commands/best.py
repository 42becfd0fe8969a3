"""The command `search best`: the best setting of a study."""

from objectives.home import Home
from search.cli.flags import DatasetOption, HomeOption, JsonOption, StorageOption, StudyOption
from search.cli.output import chosen_study, print_json, print_lines


def best(
    dataset: DatasetOption = None,
    study: StudyOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Print the best setting of a study, its scores and its cost."""
    from search.database.store import Store
    from search.reports.answer import answer_lines, answer_record

    with Store.open(storage or Home.at(home).storage, reading=True) as store:
        results = store.read_study(chosen_study(store, dataset, study))
    if as_json:
        print_json(answer_record(results))
    else:
        print_lines(*answer_lines(results))
