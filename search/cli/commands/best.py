"""The command `search best`: the best setting of a study."""

from objectives.home import Home
from search.cli.flags import DatasetOption, HomeOption, JsonOption, ServerOption, StorageOption, StudyOption
from search.cli.output import chosen_study, print_json, print_lines
from search.cli.remote import remote_study, server_client


def best(
    dataset: DatasetOption = None,
    study: StudyOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    storage: StorageOption = None,
    server: ServerOption = None,
) -> None:
    """Print the best setting of a study, its scores and its cost."""
    if server is not None:
        with server_client(server, home=home, storage=storage) as client:
            name = remote_study(client, dataset, study)
            record = client.best(name)
            if as_json:
                print_json(record)
            else:
                print_lines(*client.lines(name)["best"])
        return
    from search.database.store import Store
    from search.reports.answer import answer_lines, answer_record

    with Store.open(storage or Home.at(home).storage, reading=True) as store:
        results = store.read_study(chosen_study(store, dataset, study))
    if as_json:
        print_json(answer_record(results))
    else:
        print_lines(*answer_lines(results))
