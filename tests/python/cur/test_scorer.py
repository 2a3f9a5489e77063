import numpy as np
import pytest

from magnetite.index.cur.scorer import Scorer, ScorerError

ITEMS = ["a", "bb", "ccc", "dddd"]


def lengths(query, items):
    return [len(query) * len(item) for item in items]


class Mixed:
    """A scorer of pairs, which notes how often it is called."""

    def __init__(self):
        self.sizes = []

    def score(self, query, items):
        raise AssertionError("pairs was to be called")

    def pairs(self, queries, items):
        self.sizes.append(len(items))
        return np.array([len(q) * len(i) for q, i in zip(queries, items, strict=True)], np.float32)


GROUPS = [("xx", np.array([3, 0])), ("y", np.array([], dtype=np.int64)), ("y", np.array([1]))]


@pytest.mark.parametrize("score", [lengths, Mixed()], ids=["one query a call", "pairs"])
def test_each_group_gets_its_scores_in_order_and_calls_are_counted(score):
    asked = Scorer(score, ITEMS)
    found = [scores.tolist() for scores in asked.ask(GROUPS)]
    assert found == [[8.0, 2.0], [], [2.0]]
    assert asked.calls == 3
    assert list(asked.ask([])) == []


def test_pairs_go_in_one_call():
    score = Mixed()
    list(Scorer(score, ITEMS).ask(GROUPS))
    assert score.sizes == [3]


class WithScore:
    def score(self, query, items):
        return lengths(query, items)


def test_an_object_with_a_method_score_is_a_scorer():
    assert [x.tolist() for x in Scorer(WithScore(), ITEMS).ask([("x", np.array([2]))])] == [[3.0]]


BAD = {
    "too few": (lambda q, i: [1.0], r"must return 2 numbers .*; got the shape \(1,\).*one number"),
    "a column": (lambda q, i: np.ones((2, 1)), r"shape \(2, 1\)"),
    "nothing": (lambda q, i: None, "real numbers; got object"),
    "words": (lambda q, i: ["a", "b"], "real numbers; got <U1"),
    "ragged": (lambda q, i: [[1], [1, 2]], "no array"),
    "NaN": (lambda q, i: [0.0, np.nan], "finite numbers; got nan for number 1 .*query 'q'"),
    "infinite": (lambda q, i: [np.inf, 0.0], "finite numbers; got inf for number 0"),
    "raises": (lambda q, i: 1 / 0, "raised ZeroDivisionError for 2 items of 'q'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_named(name):
    score, said = BAD[name]
    asked = Scorer(score, ITEMS)
    with pytest.raises(ScorerError, match=said):
        list(asked.ask([("q", np.array([0, 1]))]))
    assert asked.calls == (name in ("NaN", "infinite")), "the other of two"


def test_what_came_before_an_error_was_given_out():
    def score(query, items):
        if query == "bad":
            raise RuntimeError("out of memory")
        return lengths(query, items)

    asked = Scorer(score, ITEMS)
    got = []
    with pytest.raises(ScorerError, match="out of memory") as caught:
        got.extend(asked.ask([("ok", np.array([0])), ("bad", np.array([0]))]))
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert asked.calls == 1


@pytest.mark.parametrize("mixes", [False, True], ids=["one query a call", "pairs"])
def test_a_call_with_a_nan_names_the_pair_and_gives_out_the_others(mixes):
    class Torn(Mixed):
        def score(self, query, items):
            return self.pairs([query] * len(items), items)

        def pairs(self, queries, items):
            scores = super().pairs(queries, items)
            scores[[pair == ("y", "bb") for pair in zip(queries, items, strict=True)]] = np.nan
            return scores

    groups = [("xx", np.array([3, 0])), ("y", np.array([0, 1, 2]))]
    score = Torn() if mixes else Torn().score
    asked, got = Scorer(score, ITEMS), []
    with pytest.raises(ScorerError, match=r"query 'y', item 'bb'\); mend") as caught:
        got.extend(asked.ask(groups))
    got = np.concatenate([*got, caught.value.answer])
    np.testing.assert_array_equal(got, [8, 2, 1, np.nan, 3])
    assert asked.calls == 4


def test_control_c_passes_through():
    def score(query, items):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Scorer(score, ITEMS).ask([("q", np.array([0]))]))


def test_something_that_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match=r"callable \(query, items\).*got float"):
        Scorer(0.5, ITEMS)
