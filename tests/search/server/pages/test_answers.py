"""The page says of a study what `search best` says, word for word."""

import re
from html import unescape
from pathlib import Path

from search.database.store import Store
from search.reports.answer import answer_facts, answer_lines
from tests.search.server.pages.conftest import Visit


def words_of(page: str) -> str:
    """Return the text of a page, with single spaces."""
    return one_space(unescape(re.sub(r"<[^>]+>", " ", page.replace("<wbr>", ""))))


def one_space(text: str) -> str:
    return " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())


def test_a_study_has_the_words_of_search_best(visit: Visit, home: Path, study: str) -> None:
    with Store.open(home / "studies.db") as store:
        results = store.read_study(study)
    page = words_of(visit(f"/studies/{study}").text)
    for label, paragraphs in answer_facts(results).items():
        for text in paragraphs:
            assert one_space(text) in page, label
    said = one_space(" ".join(line[12:] for line in answer_lines(results)))
    assert said == one_space(" ".join(text for paragraphs in answer_facts(results).values() for text in paragraphs))


def test_the_list_of_studies_has_their_answers(visit: Visit, home: Path, study: str) -> None:
    with Store.open(home / "studies.db") as store:
        facts = answer_facts(store.read_study(study))
    page = words_of(visit("/studies").text)
    for label in ("setting", "validation", "test"):
        assert one_space(facts[label][0]) in page
