"""Which queries are shown, and which of their hits."""

from magnetite.evaluate import Beir, Corpus, System
from magnetite.evaluate.examples import examples_of, telling

DATA = Beir(
    "d",
    "test",
    Corpus(list("abcdef"), ["Title A", "", *["Title"] * 4], ["text"] * 6),
    {"q": "why?", "r": "how?"},
    {"q": {"e": 1}, "r": {"b": 1}},
)
RUN = {"q": {"a": 0.9, "gone": 0.8, "c": 0.7, "d": 0.6, "e": 0.5}, "r": {"b": 0.4, "a": 0.3}}


def test_the_first_relevant_hit_is_shown_however_deep():
    (example,) = examples_of(DATA, {"run": RUN}, {"q": "a note"})
    assert (example.query, example.note) == ("why?", "a note")
    hits = [(hit.rank, hit.title, hit.relevant) for hit in example.hits["run"]]
    assert hits == [
        (1, "Title A", False),
        (2, "gone", False),
        (3, "Title", False),
        (5, "Title", True),
    ]


def test_a_relevant_hit_at_the_top_stands_once_and_a_text_serves_as_title():
    (example,) = examples_of(DATA, {"run": RUN}, {"r": ""})
    assert [(hit.rank, hit.title) for hit in example.hits["run"]] == [(1, "text"), (2, "Title A")]


def test_telling_queries_are_those_helped_and_hurt_most():
    first = System("one", {"m": {"a": 0.0, "b": 0.5, "c": 0.5, "d": 1.0, "e": 0.2, "f": 0.3}})
    last = System("two", {"m": {"a": 0.4, "b": 0.9, "c": 0.5, "d": 0.1, "e": 0.0, "f": 0.9}})
    assert telling([first, last], "m", "abcdef") == {
        "f": "helped most",
        "a": "helped most",
        "b": "helped most",
        "d": "hurt most",
    }
    assert list(telling([first], "m", "fedcba")) == ["f", "e", "d", "c"]
