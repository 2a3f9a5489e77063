"""`magnetite cur`: build, search, eval."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from magnetite.cli import main

JUDGE = """
import os, time

calls = 0
LIMIT = None

def score(query, items):
    global calls
    time.sleep(float(os.environ.get("JUDGE_S", "0")))
    calls += len(items)
    if LIMIT is not None and calls > LIMIT:
        raise RuntimeError("out of credit")
    return [len(set(query.split()) & set(item.split())) + 0.01 * (len(item) % 5) for item in items]
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "judging", raising=False)  # that of another test
    (tmp_path / "judging.py").write_text(JUDGE)
    things = ["iron", "copper", "water", "salt", "wood", "glass", "stone", "sand"]
    acts = ["melts", "floats", "breaks", "shines", "burns"]
    rows = [
        {"_id": f"d{i}{j}", "title": thing, "text": f"{thing} that {act}"}
        for i, thing in enumerate(things)
        for j, act in enumerate(acts)
    ]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asked = [f"what {act} like {thing}" for thing in things[:5] for act in acts[:2]]
    (tmp_path / "queries.txt").write_text("\n".join(asked))
    return tmp_path


def run(*words):
    return CliRunner().invoke(main, ["cur", *words], catch_exceptions=False)


def built(*more):
    return run(
        "build", "items.jsonl", "queries.txt", "-o", "here", "--judge", "judging:score", *more
    )


def test_build_then_search_finds_what_the_judge_likes(place):
    done = built("--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["items"] == 40
    got = run(
        "search", "here", "glass that shines", "--judge", "judging:score", "--budget", "12",
        "-k", "3", "--json",
    )  # fmt: skip
    payload = json.loads(got.stdout)
    assert payload["calls"] == 12
    assert payload["hits"][0]["id"] == "d53"
    assert payload["hits"][0]["text"] == "glass glass that shines"


def test_a_judge_that_fails_costs_nothing_twice(place, monkeypatch):
    monkeypatch.syspath_prepend(str(place))
    import judging

    monkeypatch.setattr(judging, "LIMIT", 200)
    failed = built()
    assert failed.exit_code == 1
    assert "out of credit; 200 of 400 scores are kept in here.scores" in failed.output
    assert not (place / "here").exists()
    monkeypatch.setattr(judging, "LIMIT", None)
    judging.calls = 0
    assert built().exit_code == 0
    assert judging.calls == 200


def begun(place, more):
    """Start a build in a process; return it once it has put scores on the disk `more` times."""
    journal = place / "here.scores" / "scores.journal"
    before = journal.read_bytes().count(b"\n") if journal.exists() else 1
    words = ["build", "items.jsonl", "queries.txt", "-o", "here", "--judge", "judging:score"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from magnetite.cli import main; main()", "cur", *words],
        env=os.environ | {"JUDGE_S": "0.4"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    end = time.monotonic() + 120
    while not journal.exists() or journal.read_bytes().count(b"\n") < before + more:
        assert process.poll() is None, "it was to be stopped while it scores"
        assert time.monotonic() < end, "nothing was kept"
        time.sleep(0.01)
    return process


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.skipif(os.name != "posix", reason="SKIPPED LOUDLY: no signals to a process here")
def test_a_build_that_was_stopped_and_killed_has_the_bytes_of_one_that_was_not(place):
    stopped = begun(place, 1)
    stopped.send_signal(signal.SIGINT)
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 130
    assert "Scores are kept in here.scores; the same command goes on." in said
    killed = begun(place, 1)
    killed.kill()
    killed.communicate()
    assert not (place / "here").exists()
    assert built().exit_code == 0
    torn = {name: files(place / name) for name in ("here", "here.scores")}
    for name in torn:
        (place / name).rename(place / f"{name}.torn")
    assert built().exit_code == 0
    assert torn == {name: files(place / name) for name in torn}


def test_what_a_user_can_mend_is_one_line(place):
    wrong = run("build", "items.jsonl", "queries.txt", "-o", "here", "--judge", "nothing")
    assert wrong.exit_code == 2
    assert "must be an artifact's folder or module:function" in wrong.output
    wrong = run("build", "items.jsonl", "queries.txt", "-o", "here", "--judge", "judging:no")
    assert "judging has no 'no'" in wrong.output
    (place / "here").mkdir()
    assert "here exists" in built().output
    wrong = run("search", "here", "iron", "--judge", "judging:score", "--budget", "3", "-k", "5")
    assert "--budget must be at least -k, 5; got 3" in wrong.output


def test_eval_prints_a_table_and_writes_lines(place):
    rng = np.random.default_rng(0)
    asked, found = rng.standard_normal((30, 6)), rng.standard_normal((120, 6))
    np.savez(
        "block.npz", scores=(asked @ found.T + rng.standard_normal((30, 120))).astype(np.float32),
        query_ids=np.arange(30).astype(str), item_ids=np.arange(120).astype(str),
        queries=np.array(["what"] * 30), items=np.array(["that thing"] * 120),
        query_vectors=asked, item_vectors=found, indexing=np.arange(30) < 20,
        relevant=np.stack([np.arange(30), np.arange(30)], axis=1), recipe="{}",
    )  # fmt: skip
    done = run(
        "eval", "block.npz", "--budgets", "6,12", "--ks", "1,5", "--json", "rows.jsonl",
        "--plot", "recall.svg",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "| 12 | encoder + re-rank |" in done.stdout
    rows = [json.loads(line) for line in (place / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 1 + 2 * 7 * 4
    assert (place / "recall.svg").read_text().startswith("<?xml")
    assert "whole numbers" in run("eval", "block.npz", "--ks", "a").output


@pytest.mark.parametrize("verb", ["build", "search", "eval"])
def test_help_ends_with_examples(verb):
    text = run(verb, "--help").stdout
    assert f"magnetite cur {verb}" in text.split("Examples:")[1]
