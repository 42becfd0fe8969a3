"""Scores in the study database: of one made before there were any, and what a study says that it maximises."""

from dataclasses import replace
from datetime import UTC, datetime

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState, create_trial
from sqlalchemy import text

from objectives.results import Accuracy, Confusion, Final, IntervalEstimate, Scores
from search.database import migrations
from search.database.connection.opening import open_storage
from search.database.connection.url import Address
from search.database.models import RunRow, StudyRow, study_row
from search.database.optuna_storage.parameters import distributions, to_params
from search.database.records import RunRecord, SavedOptions
from search.database.store import Store
from spaces import Space
from tests.support.studies import MakeRecord

SCORES = Scores(20, {"accuracy": IntervalEstimate(0.9, 0.7, 0.97), "nll": IntervalEstimate(0.31, 0.2, 0.5)})


def test_a_database_of_the_first_schema_is_upgraded_without_loss(
    storage_url: str, make_record: MakeRecord, run_record: RunRecord, space: Space
) -> None:
    address, facts, moment = Address(storage_url), make_record(), datetime.now(UTC)
    if address.file:
        address.file.parent.mkdir(parents=True)
    engine = sqlalchemy.create_engine(address.url, **address.engine_options(sqlalchemy.NullPool))
    setting, *_ = space.settings()
    costs = {"seconds": {"fit": 1.0}, "passes_made": 5, "passes_needed": 9}
    counts = {"validation_correct": 18, "validation_total": 20}
    columns = [column.name for column in StudyRow.__table__.columns if column.name not in ("majority", "request")]
    study = {name: getattr(study_row(facts, moment), name) for name in columns}
    later = ("options", "began")  # which the first schema had not
    values = {name: value for name, value in vars(run_record).items() if name not in later}
    run = {**values, "study_id": 1, "started": moment, "heartbeat": moment, "state": "running"}
    trial = {"study_id": 1, "number": 0, "run_id": 1, "attempt": 1, "setting": setting.to_json(), "finished": 1.0}
    final = {"study_id": 1, "setting": setting.to_json(), "seed": 1, "test_correct": 40, "test_total": 50}
    with engine.begin() as connection:
        migrations.upgrade(connection, "0001")
        tables = sqlalchemy.MetaData()
        tables.reflect(connection)
        for name, row in (
            ("search_studies", {**study, "id": 1}),
            ("search_runs", {**run, "id": 1, "versions": dict(run_record.versions)}),
            ("search_trials", {**trial, **counts, **costs, "details": {"l2": 0.1}}),
            ("search_finals", {**final, **counts, **costs, "id": 1, "seconds": 2.5}),
        ):
            connection.execute(tables.tables[name].insert().values(row))
    optuna_storage = open_storage(address)
    optuna.create_study(storage=optuna_storage, study_name=facts.name, direction="maximize")
    optuna_storage.remove_session()
    optuna_storage.engine.dispose()

    with Store.open(storage_url) as store:
        optuna_trial = create_trial(
            value=0.9, params=to_params(setting), distributions=distributions(space, setting), state=TrialState.COMPLETE
        )
        store.load(facts.name).add_trial(optuna_trial)
        assert store.ensure_study(facts) == facts.name
        assert store.saved_options(facts.name) == SavedOptions(space, None)
        with store.session() as session:
            session.get_one(RunRow, 1).options = {"seed": 3}
        assert store.saved_options(facts.name) == SavedOptions(space, {"seed": 3})
        results = store.read_study(facts.name)
        assert (results.trials[0].validation, results.trials[0].details) == (Accuracy(18, 20), {"l2": 0.1})
        assert results.trials[0].scores is None
        assert results.finals == (Final(setting, 1, Accuracy(18, 20), Accuracy(40, 50), 2.5, 5, 9),)
        scored = replace(results.finals[0], test_scores=SCORES, confused=(Confusion(0, 1, 3),))
        store.record_final(facts.name, scored)
        assert store.read_study(facts.name).finals == (scored,)
        with store.session() as session:
            assert session.scalar(text("SELECT count(*) FROM search_finals WHERE validation_scores IS NULL")) == 1


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        ({}, "validation accuracy"),
        ({"metric": "mean-per-class"}, "validation mean per-class accuracy"),
        ({"metric": "nll"}, "validation log-likelihood"),
    ],
)
def test_a_study_names_what_it_maximises(
    store: Store, make_record: MakeRecord, protocol: dict[str, str], words: str
) -> None:
    name = store.ensure_study(make_record(protocol=protocol))
    assert store.load(name).metric_names == [words]
    (summary,) = store.studies()
    assert summary.metric.name == store.read_study(name).metric.name == protocol.get("metric", "accuracy")
