"""`magnetite.bench.cur`: replay of a stored block."""

import json

import numpy as np
import pytest

from magnetite import FormatError
from magnetite.bench import block as blocks
from magnetite.bench import cur, cur_report

OPTIONS = cur.Options(budgets=(10, 30, 60), ks=(1, 5, 20), tuning=10)


def arrays(queries=60, items=320, dim=10):
    rng = np.random.default_rng(0)
    asked, found = rng.standard_normal((queries, dim)), rng.standard_normal((items, dim))
    own = rng.standard_normal((queries, 6)) @ rng.standard_normal((6, items))
    scores = asked @ found.T / dim + own / 4 + rng.standard_normal((queries, items)) / 9
    return {
        "scores": scores.astype(np.float32),
        "query_ids": np.array([f"q{i}" for i in range(queries)]),
        "item_ids": np.array([f"i{i}" for i in range(items)]),
        "queries": np.array([f"word{i % 7} asks {i}" for i in range(queries)]),
        "items": np.array([f"word{i % 7} thing{i}" for i in range(items)]),
        "query_vectors": asked.astype(np.float32),
        "item_vectors": found.astype(np.float32),
        "indexing": np.arange(queries) % 2 == 0,
        "relevant": np.stack([np.arange(queries), scores.argmax(axis=1)], axis=1),
        "recipe": np.array(json.dumps({"judge": "made up"})),
    }


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("block") / "small.npz"
    np.savez_compressed(path, **arrays())
    return path


@pytest.fixture(scope="module")
def report(path):
    return cur.measure(blocks.load(path), OPTIONS)


def test_every_system_is_measured_at_every_budget_that_is_small_enough(report):
    systems = [cur.ENCODER, "random", "BM25 + re-rank", "ANNCUR", "ADACUR", "AXN", cur.OURS]
    got = [(row.budget, row.system, row.measure) for row in report.rows]
    wanted = [
        (budget, system, measure)
        for budget in (10, 30)
        for system in systems
        for measure in [f"Recall@{k}" for k in (1, 5, 20) if k <= budget] + ["accuracy", "nDCG@10"]
    ]
    assert got == wanted


def test_recall_of_the_encoder_is_what_a_loop_counts(report):
    held = arrays()
    total = []
    for query in np.flatnonzero(~held["indexing"]):
        dots = held["item_vectors"].astype(float) @ held["query_vectors"][query]
        scored = np.argsort(-dots)[:30]
        truth = np.argsort(-held["scores"][query])[:5]
        total.append(len(set(scored) & set(truth)) / 5)
    row = next(r for r in report.rows if (r.budget, r.measure) == (30, "Recall@5"))
    assert row.system == cur.ENCODER
    assert row.value == pytest.approx(np.mean(total))


def test_results_are_in_the_order_of_the_judge(report):
    values = {(row.budget, row.system, row.measure): row.value for row in report.rows}
    for budget, system, measure in values:
        if measure == "accuracy":  # the labels are what the judge likes best
            assert values[budget, system, measure] == values[budget, system, "Recall@1"]


def test_ours_finds_more_than_the_encoder_where_scores_have_a_spectrum(report):
    for row in report.rows:
        if row.system == cur.OURS and row.measure == "Recall@20" and row.budget == 30:
            assert row.against_encoder.sign == 1


def test_the_judge_stands_beside_the_table(report):
    judge = report.judge
    assert judge.judge_accuracy == 1.0  # the labels are its own firsts
    assert judge.accuracy.mean == pytest.approx(1 - judge.encoder_accuracy)
    assert 0 < judge.spearman < 1
    assert list(judge.energy) == [1, 10, 50, 100]
    text = cur_report.table(report)
    assert "accuracy 1.000 (encoder" in text
    assert text.count("\n| 30 |") == 7


def test_spearman_and_ndcg_are_the_textbook_ones():
    from magnetite.evaluate import metrics, spearman

    rng = np.random.default_rng(2)
    one, other = rng.standard_normal((2, 1, 50))
    ranks = cur._ranks(one)[0] @ cur._ranks(other)[0]
    assert ranks == pytest.approx(spearman(one[0], other[0]))
    places, labels = rng.permutation(50)[None, :10], [np.array([3, 7, 11])]
    run = {"q": {f"{p:02}": float(10 - at) for at, p in enumerate(places[0])}}
    qrels = {"q": {f"{label:02}": 1 for label in labels[0]}}
    wanted = metrics.score(qrels, run, ["nDCG@10"])["nDCG@10"]["q"]
    assert cur.task(places, labels)["nDCG@10"][0] == pytest.approx(wanted)


def test_test_queries_take_no_part_in_what_is_chosen(path, report, tmp_path):
    held = arrays()
    held["scores"][~held["indexing"]] *= -1
    np.savez(tmp_path / "small.npz", **held)
    other = cur.measure(blocks.load(tmp_path / "small.npz"), OPTIONS)
    assert [row.setting for row in other.rows] == [row.setting for row in report.rows]


def test_a_plot_and_lines_of_json_are_written(report, tmp_path):
    cur_report.plot([report], tmp_path / "a.svg")
    cur_report.plot([report], tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    lines = [json.loads(row.as_json()) for row in report.rows]
    assert lines[0]["system"] == cur.ENCODER
    assert json.loads(report.judge.as_json())["recipe"] == {"judge": "made up"}


BAD = {
    "missing": ("item_vectors", None, "expected the array 'item_vectors'"),
    "shape": ("item_vectors", np.ones((3, 10)), r"item_vectors must have the shape \(320, 10\)"),
    "NaN": ("scores", np.full((60, 320), np.nan), "finite"),
    "no test queries": ("indexing", np.ones(60, bool), "indexing queries and others"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_block_is_refused(name, tmp_path):
    array, value, said = BAD[name]
    held = arrays()
    if value is None:
        del held[array]
    else:
        held[array] = value
    np.savez(tmp_path / "bad.npz", **held)
    with pytest.raises(FormatError, match=said):
        blocks.load(tmp_path / "bad.npz")


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "bad.npz").write_text("no")
    with pytest.raises(FormatError, match="not a file of NumPy arrays"):
        blocks.load(tmp_path / "bad.npz")


def test_too_few_items_for_any_budget_are_refused(path):
    with pytest.raises(ValueError, match="no budget"):
        cur.measure(blocks.load(path), cur.Options(budgets=(50,)))
