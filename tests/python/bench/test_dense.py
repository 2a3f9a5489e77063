"""A bench of a few rows measures every class, and says what it measured."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from magnetite.bench import Options, data, run, summary
from magnetite.cli import main

SMALL: dict = {
    "threads": (1,),
    "batches": (1, 32, 0),
    "rounds": 1,
    "seconds": 0.001,
    "quick": True,
}


@pytest.fixture(scope="module")
def centres():
    return data.centres(n=2_000, dim=16)


def test_exact_search_is_held_against_exact_search(centres):
    report = run(centres, Options(against=("faiss",), classes=("exact",), **SMALL), lambda _: None)
    assert {row.system for row in report.rows} >= {"magnetite flat", "numpy", "faiss Flat"}
    assert {row.batch for row in report.rows} == {1, 32, 1_000}
    assert all(row.quality >= 0.9995 and row.rate > 0 for row in report.rows)


def test_lists_are_held_against_lists_and_graphs_at_the_recall_wanted(centres, tmp_path):
    options = Options(against=("faiss",), classes=("f32",), recalls=(0.9,), cache=tmp_path, **SMALL)
    report = run(centres, options, lambda _: None)
    ours = [row for row in report.rows if row.ratio]
    assert [row.batch for row in ours] == [1, 32, 2_000]
    assert all(
        row.system == "magnetite ivf" and row.ratio_lists and row.ratio_graph for row in ours
    )
    assert all(row.bytes > 16 * 4 * len(centres.vectors) for row in report.rows)
    said = json.loads(report.rows[0].as_json())
    assert said["class"] == "f32"
    assert said["work"] == "recall@10 = 0.9"
    assert len(summary(report.rows).splitlines()) == 1 + len(ours)


def test_the_right_answers_are_exact_search_by_another_route(centres):
    scores = centres.queries.astype(np.float64) @ centres.vectors.T.astype(np.float64)
    best = np.argsort(-scores, axis=1)[:, :10]
    assert centres.recall(best, 10) == 1.0
    assert centres.recall(best[:, ::-1], 10) == 1.0
    assert centres.recall(np.full_like(best, -1), 10) == 0.0


def test_a_users_vectors_give_a_table_and_a_plot(tmp_path, centres):
    np.save(tmp_path / "vectors.npy", centres.vectors)
    words = ["bench", "dense", "--against", "faiss", "--quick", "--classes", "f32"]
    words += ["--recalls", "0.9", "--vectors", str(tmp_path / "vectors.npy")]
    words += ["--plot", str(tmp_path / "curves.svg"), "--json", str(tmp_path / "rows.jsonl")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "best peer" in result.output
    assert (tmp_path / "curves.svg").read_text().count("<svg") == 1
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) >= 2


def test_queries_of_another_width_are_refused(tmp_path):
    np.save(tmp_path / "vectors.npy", np.ones((8, 4)))
    np.save(tmp_path / "queries.npy", np.ones((2, 3)))
    with pytest.raises(ValueError, match="vectors' 4 columns; got 3"):
        data.load(tmp_path / "vectors.npy", tmp_path / "queries.npy", None, 1)
