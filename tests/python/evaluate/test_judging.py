"""Runs, measures, correlation and the bootstrap, each against a slower twin or a known case."""

import math
import random
import re
import sys

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from magnetite import FormatError
from magnetite.evaluate import (
    Difference,
    cosines,
    mean,
    paired_bootstrap,
    read_beir,
    read_run,
    run_of,
    score,
    spearman,
    split_by_training,
    write_run,
)
from magnetite.evaluate.beir import read_qrels
from magnetite.extras import MissingExtraError, need

QRELS = {"q1": {"a": 2, "b": 1, "c": 0}, "q2": {"d": 1}, "q3": {"a": 0}}


def random_run(seed, qrels, documents, ties):
    generator = random.Random(seed)
    return {
        query: {
            document: float(generator.randrange(5)) if ties else generator.random()
            for document in generator.sample(documents, min(len(documents), 30))
        }
        for query in qrels
    }


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_ndcg_equals_pytrec_eval_on_the_same_run(seed, ties):
    documents = [f"d{n}" for n in range(60)]
    generator = random.Random(seed + 100)
    qrels = {
        f"q{n}": {d: generator.randrange(4) for d in generator.sample(documents, 12)}
        for n in range(40)
    }
    run = random_run(seed, qrels, documents, ties)
    ours = score(qrels, run, ["nDCG@10"])["nDCG@10"]
    wanted = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
    assert ours == {query: values["ndcg_cut_10"] for query, values in wanted.items()}


def test_ndcg_equals_the_written_sum():
    run = {"q1": {"b": 3.0, "x": 2.0, "a": 1.0}}
    wanted = (1 / math.log2(2) + 2 / math.log2(4)) / (2 / math.log2(2) + 1 / math.log2(3))
    assert score(QRELS, run, ["nDCG@10"])["nDCG@10"]["q1"] == pytest.approx(wanted, rel=1e-12)


def test_a_query_the_run_lacks_counts_as_zero_and_a_stranger_not_at_all():
    values = score(QRELS, {"q2": {"d": 1.0}, "stranger": {"d": 1.0}}, ["nDCG@10", "RR@10"])
    assert values["nDCG@10"] == values["RR@10"] == {"q1": 0.0, "q2": 1.0, "q3": 0.0}
    assert mean(values["RR@10"]) == pytest.approx(1 / 3)
    assert score(QRELS, {}, ["AP"])["AP"] == dict.fromkeys(QRELS, 0.0)


def test_a_measure_is_read_with_its_options():
    run = {"q1": {"b": 3.0, "x": 2.0, "a": 1.0}, "q2": {"d": 1.0}}
    asked = {
        "P@2": {"q1": 0.5, "q2": 0.5, "q3": 0.0},
        "P(rel=2)@3": {"q1": 1 / 3, "q2": 0.0, "q3": 0.0},
        "RR(rel=2)": {"q1": 1 / 3, "q2": 0.0, "q3": 0.0},
        "Success@1": {"q1": 1.0, "q2": 1.0, "q3": 0.0},
    }
    for name, wanted in asked.items():
        assert score(QRELS, run, [name])[name] == pytest.approx(wanted), name


@pytest.mark.parametrize(
    "name", ["nDGC@10", "nDCG@", "AP@@3", "P(2)@5", "P(rel=x)@5", "1", "", "P; P"]
)
def test_an_unknown_measure_is_named(name):
    with pytest.raises(ValueError, match="unknown measure " + re.escape(repr(name))):
        score(QRELS, {}, [name])


def test_a_mean_over_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one query"):
        mean({})


@pytest.mark.parametrize("package", ["ir_measures", "pytrec_eval"])
def test_a_missing_extra_is_named(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r'pip install "magnetite\[eval\]"'):
        score(QRELS, {})


def test_a_broken_package_of_an_extra_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import not_there_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        need("half_there", extra="eval", purpose="this test")


# Runs


def test_a_run_is_ordered_by_score_then_by_the_bytes_of_the_id():
    run = run_of(["q"], [["b", "é", "a", "z", "dropped"]], [[1.0, 1.0, 1.0, 2.0, -np.inf]], [4])
    assert list(run["q"]) == ["z", "a", "b", "é"]


@given(
    st.dictionaries(
        st.text("pqr", min_size=1),
        st.dictionaries(
            st.text("abcé1", min_size=1), st.floats(width=32, allow_nan=False), min_size=1
        ),
        min_size=1,
    )
)
def test_a_written_run_reads_back_the_same(tmp_path_factory, run):
    path = tmp_path_factory.mktemp("runs") / "run.trec"
    write_run(path, run)
    again = read_run(path)
    assert again == run
    first = path.read_bytes()
    write_run(path, again)
    assert path.read_bytes() == first


def test_a_run_file_has_the_six_fields_trec_eval_reads(tmp_path):
    write_run(tmp_path / "r", {"q": {"a": 0.5, "b": 0.75}}, name="mine")
    assert (tmp_path / "r").read_text() == "q Q0 b 1 0.75 mine\nq Q0 a 2 0.5 mine\n"


@pytest.mark.parametrize("bad", ["Geneva Durben", "", "a\tb"])
def test_an_id_that_a_run_file_cannot_hold_is_refused(tmp_path, bad):
    with pytest.raises(ValueError, match="a TREC run file cannot hold"):
        write_run(tmp_path / "r", {"q": {bad: 1.0}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("q Q0 d 1 0.5\n", "r:1: expected 6 fields"),
        ("q Q0 d 1 0.5 m\nq Q0 e 2 high m\n", "r:2: expected a number as score, got 'high'"),
        ("q Q0 d 1 nan m\n", "r:1: expected a number as score, got 'nan'"),
        ("q Q0 d 1 0.5 m\nq Q0 d 2 0.4 m\n", "r:2: document 'd' comes twice for query 'q'"),
        ("", "r: no rows"),
    ],
)
def test_a_bad_run_is_named_by_file_and_line(tmp_path, text, said):
    (tmp_path / "r").write_text(text)
    with pytest.raises(FormatError) as error:
        read_run(tmp_path / "r")
    assert said in str(error.value)


# Seen and unseen


def test_a_query_is_seen_when_training_asked_for_a_relevant_document():
    training = {"t": {"a": 1, "d": 0}}
    assert split_by_training(QRELS, training) == {"unseen": ["q2", "q3"], "seen": ["q1"]}


def test_scifact_splits_into_104_and_196(shared):
    data = read_beir(shared / "scifact")
    groups = split_by_training(data.qrels, read_qrels(shared / "scifact" / "qrels" / "train.tsv"))
    assert {name: len(queries) for name, queries in groups.items()} == {"unseen": 104, "seen": 196}


# Correlation


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=2, max_size=40))
def test_spearman_equals_scipy_ties_included(pairs):
    given_values, wanted = zip(*pairs, strict=True)
    if len(set(given_values)) == 1 or len(set(wanted)) == 1:
        with pytest.raises(ValueError, match="all equal"):
            spearman(given_values, wanted)
    else:
        expected = spearmanr(given_values, wanted).statistic
        # both are sums of at most 40 products of ranks below 40: rounding stays under 40·40·eps
        assert spearman(given_values, wanted) == pytest.approx(expected, abs=1600 * 2.3e-16)


def test_spearman_refuses_what_has_no_rank():
    with pytest.raises(ValueError, match="finite"):
        spearman([1.0, math.nan], [1.0, 2.0])
    with pytest.raises(ValueError, match="equal lengths"):
        spearman([1.0, 2.0], [1.0, 2.0, 3.0])


def test_a_zero_vector_is_similar_to_nothing():
    first = np.array([[1, 0], [0, 0], [3, 4]], np.float32)
    second = np.array([[2, 0], [1, 1], [-3, -4]], np.float32)
    assert cosines(first, second).tolist() == [1.0, 0.0, -1.0]


# The bootstrap


def slow_bootstrap(before, after, samples, seed):
    """The definition by loops, over the same stream of indices."""
    differences = [b - a for a, b in zip(before, after, strict=True)]
    n = len(differences)
    observed = sum(differences) / n
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.integers(n, size=(samples, n))
    means = [sum(differences[i] for i in row) / n for row in drawn]
    as_far = sum(abs(m - observed) >= abs(observed) - 1e-12 for m in means)
    ordered = sorted(means)

    def quantile(q):
        at = q * (samples - 1)
        low = math.floor(at)
        high = min(low + 1, samples - 1)
        return ordered[low] + (at - low) * (ordered[high] - ordered[low])

    return observed, quantile(0.025), quantile(0.975), (1 + as_far) / (1 + samples)


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_the_bootstrap_equals_its_loop(n):
    generator = random.Random(n)
    before = [generator.choice([0.0, 0.5, 1.0]) for _ in range(n)]
    after = [generator.choice([0.0, 0.5, 1.0]) for _ in range(n)]
    ours = paired_bootstrap(before, after, samples=400, seed=3)
    wanted = slow_bootstrap(before, after, 400, 3)
    assert (ours.mean, ours.low, ours.high, ours.p) == pytest.approx(wanted, abs=1e-12)


def test_equal_systems_differ_by_nothing():
    same = paired_bootstrap([0.1, 0.7, 0.3], [0.1, 0.7, 0.3])
    assert (same.mean, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_constant_gain_is_certain():
    sure = paired_bootstrap([0.0] * 50, [0.25] * 50, samples=999)
    assert (sure.mean, sure.low, sure.high) == pytest.approx((0.25, 0.25, 0.25))
    assert sure.p == 1 / 1000


def test_swapping_the_systems_mirrors_the_interval():
    generator = np.random.default_rng(0)
    before, after = generator.random(80), generator.random(80)
    one, other = paired_bootstrap(before, after), paired_bootstrap(after, before)
    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low))
    assert one.p == other.p


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    inside = 0
    for trial in range(300):
        found = paired_bootstrap(
            np.zeros(60), generator.normal(0.1, 0.3, 60), samples=500, seed=trial
        )
        inside += found.low <= 0.1 <= found.high
    # binomial(300, 0.95) has a deviation of 0.0126; the percentile interval is a little narrow
    assert 0.90 <= inside / 300 <= 0.985


def test_the_same_seed_gives_the_same_numbers_and_another_others():
    before, after = np.arange(30) / 30, np.arange(30)[::-1] / 30
    assert paired_bootstrap(before, after, seed=5) == paired_bootstrap(before, after, seed=5)
    assert paired_bootstrap(before, after, seed=5) != paired_bootstrap(before, after, seed=6)


@pytest.mark.parametrize(
    ("low", "high", "p", "sign"),
    [(0.1, 0.2, 0.01, 1), (-0.2, -0.1, 0.01, -1), (-0.1, 0.2, 0.3, 0), (0.001, 0.2, 0.06, 0)],
)
def test_a_sign_needs_the_interval_and_p_to_agree(low, high, p, sign):
    assert Difference(0.05, low, high, p, 10).sign == sign


def test_the_bootstrap_refuses_what_it_cannot_pair():
    with pytest.raises(ValueError, match="as many values on both sides"):
        paired_bootstrap([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="at least one query"):
        paired_bootstrap([], [])
    with pytest.raises(ValueError, match="finite"):
        paired_bootstrap([1.0], [math.nan])
