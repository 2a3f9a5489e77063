"""SciFact as it ships, what the demo says of its figures, and its serving half."""

import json
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from magnetite.cli import main
from magnetite.demo import learning, story
from magnetite.demo.data import FOLDER, groups, scifact
from magnetite.encode import verify
from magnetite.evaluate import Report, System, read_beir, read_qrels, read_run


def test_scifact_ships_whole_and_unchanged(shared):
    for split, claims in (("test", 300), ("train", 809)):
        ours, theirs = scifact(split), read_beir(shared / "scifact", split=split)
        assert (ours.corpus, ours.queries, ours.qrels) == (
            theirs.corpus,
            theirs.queries,
            theirs.qrels,
        )
        assert (len(ours.corpus), len(ours.queries)) == (5183, claims)


def test_its_licences_stand_beside_it():
    said = (FOLDER / "LICENSE.md").read_text()
    assert "CC BY 4.0" in said
    assert "ODC-By 1.0" in said


def test_the_claims_split_into_104_and_196():
    parts = groups(scifact().qrels, read_qrels(FOLDER / "qrels" / "train.tsv"))
    assert [len(queries) for queries in parts.values()] == [300, 104, 196]


def report(titles, claims_unseen, claims_seen):
    """A report whose steps gain what is given on every query."""
    queries = [f"q{n}" for n in range(30)]
    parts = {"all": queries, "unseen": queries[:10], "seen": queries[10:]}
    first = dict.fromkeys(queries, 0.4)
    second = {q: v + titles * (1 + n % 2) / 1.5 for n, (q, v) in enumerate(first.items())}
    third = {
        q: v + (claims_unseen if q in parts["unseen"] else claims_seen) for q, v in second.items()
    }
    names = (story.UNTRAINED, story.TITLES, story.CLAIMS)
    systems = [
        System(name, {"nDCG@10": values})
        for name, values in zip(names, (first, second, third), strict=True)
    ]
    return Report("t", "", systems, parts, ["nDCG@10"])


@pytest.mark.parametrize(
    ("gain", "said"), [(0.1, "more than luck"), (-0.1, "It lost on"), (0.0, "holds 0")]
)
def test_a_verdict_follows_the_interval(gain, said):
    titles, _ = story.remarks(report(gain, 0.0, 0.3))
    assert said in titles
    _, claims = story.remarks(report(0.0, gain, 0.3))
    assert said in claims
    assert "20 of the 30 test claims" in claims
    assert "+0.300" in claims


def test_without_training_there_is_nothing_to_remark():
    whole = report(0.1, 0.1, 0.1)
    alone = Report("t", "", whole.systems[:1], whole.groups, whole.measures)
    assert list(story.remarks(alone)) == []


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    result = CliRunner().invoke(main, ["demo", "--no-learn", "-o", str(out), "--json"])
    assert result.exit_code == 0, result.output
    return out, result


def test_the_serving_half_finds_what_the_issue_asks(served):
    _, result = served
    rows = json.loads(result.stdout)["rows"]
    assert [row["queries"] for row in rows] == [300, 104, 196]
    assert rows[0]["values"]["nDCG@10"] >= 0.50


def test_the_serving_half_shows_timings_queries_and_hits(served):
    _, result = served
    assert "encode   5,183 abstracts" in result.stderr
    assert "search     300 claims" in result.stderr
    assert result.stderr.count("“") >= 3


def test_the_serving_half_writes_the_page_and_the_run(served):
    out, _ = served
    assert "<svg" in (out / "report.html").read_text()
    assert len(read_run(out / "0.trec")) == 300


def test_a_base_install_serves_and_names_the_extras(tmp_path, monkeypatch):
    for module in ("torch", "ir_measures"):
        monkeypatch.setitem(sys.modules, module, None)
    result = CliRunner().invoke(main, ["demo", "-o", str(tmp_path / "d")])
    assert result.exit_code == 0, result.output
    assert 'pip install "magnetite[eval]"' in result.output
    assert 'pip install "magnetite[export,eval]"' in result.output
    assert "search     300 claims" in result.output
    assert not (tmp_path / "d").exists()


def test_titles_are_pairs_without_labels_and_claims_know_every_fitting_abstract():
    data = learning.titles(scifact())
    assert len(data) == 5183
    assert set(data.columns) == {"query", "document"}
    claims = learning.read_beir(FOLDER, split="train")
    assert len(claims) == 919
    assert set(claims.columns) == {"query", "document", "relevant"}


def test_the_whole_demo_seals_each_step_and_compares_it_with_the_one_before(tmp_path, monkeypatch):
    for name in ("TITLES", "CLAIMS"):
        training = getattr(learning, name)
        short = replace(training.settings, epochs=None, steps=2)
        monkeypatch.setattr(learning, name, replace(training, settings=short))
    result = CliRunner().invoke(main, ["demo", "-o", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [row["system"] for row in rows] == [story.UNTRAINED, story.TITLES, story.CLAIMS] * 3
    assert [row["change"] is None for row in rows] == [True, False, False] * 3
    for place in ("titles", "claims"):
        assert verify(tmp_path / "encoders" / place).ok
    assert sorted(path.name for path in tmp_path.glob("*.trec")) == ["0.trec", "1.trec", "2.trec"]
    assert "One figure over all claims would hide this." in (tmp_path / "report.html").read_text()
