"""The score matrix: plans, checkpoints, exact resume."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from magnetite import FormatError
from magnetite.index.cur import plan as plans
from magnetite.index.cur import scores as module
from magnetite.index.cur.scorer import ScorerError
from magnetite.index.cur.scores import Scores

QUERIES = [f"query {i}" for i in range(7)]
ITEMS = [f"item {i}" for i in range(450)]


def one(query, item):
    """A number that any change of either would change."""
    return int.from_bytes(hashlib.blake2b(f"{query}|{item}".encode(), digest_size=3).digest())


def judge(query, items):
    return [one(query, item) for item in items]


class Mixed:
    def score(self, query, items):
        raise AssertionError("pairs was to be called")

    def pairs(self, queries, items):
        return [one(query, item) for query, item in zip(queries, items, strict=True)]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def vectors(count, seed):
    return np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)


def test_a_dense_plan_scores_every_item_of_as_many_queries_as_the_budget_pays_for():
    plan = plans.dense(7, 450, calls=3 * 450 + 449)
    assert plan.calls == 3 * 450
    assert len(plan.queries) == 3
    assert set(plan.queries) < set(plans.dense(7, 450, calls=4 * 450).queries)
    scores = Scores.open(plan, QUERIES, ITEMS).fill(judge).matrix()
    wanted = [[one(QUERIES[q], item) for item in ITEMS] for q in plan.queries]
    assert scores.tolist() == wanted


@pytest.mark.parametrize("calls", [0, 449])
def test_a_budget_below_one_query_is_refused(calls):
    with pytest.raises(ValueError, match=r"one query costs 450 calls.*raise the budget"):
        plans.dense(7, 450, calls=calls)


def test_a_sparse_plan_holds_the_nearest_items_of_each_query():
    asked, items = vectors(7, 0), vectors(450, 1)
    plan = plans.nearest(asked, items, per_query=20, calls=105)
    assert plan.calls == 100
    for row, query in enumerate(plan.queries):
        columns = plan.columns[plan.offsets[row] : plan.offsets[row + 1]]
        assert columns.tolist() == sorted(np.argsort(-(items @ asked[query]))[:20])


def test_with_queries_an_item_every_item_is_seen():
    asked, items = vectors(7, 0), vectors(450, 1)
    plan = plans.nearest(asked, items, per_item=3, calls=2 * 450 + 1)
    assert plan.calls == 2 * 450
    pairs = {
        (int(query), int(column))
        for row, query in enumerate(plan.queries)
        for column in plan.columns[plan.offsets[row] : plan.offsets[row + 1]]
    }
    best = np.argsort(-(items @ asked.T), axis=1)[:, :2]
    assert pairs == {(int(q), i) for i in range(450) for q in best[i]}


def test_a_sparse_plan_asks_for_either_number_alone():
    for both in ({}, {"per_query": 1, "per_item": 1}):
        with pytest.raises(ValueError, match="not both"):
            plans.nearest(vectors(2, 0), vectors(3, 1), **both)
    with pytest.raises(ValueError, match="at least 1"):
        plans.nearest(vectors(2, 0), vectors(3, 1), per_item=2, calls=2)


@pytest.mark.parametrize("score", [judge, Mixed()], ids=["one query a call", "pairs"])
def test_a_scorer_that_fails_anywhere_is_asked_for_nothing_twice(score, tmp_path):
    plan = plans.dense(7, 450)
    whole = Scores.open(plan, QUERIES, ITEMS, tmp_path / "whole", scorer="s").fill(score)
    paid = []

    class Failing:
        """Answers `alive` calls, then raises."""

        def __init__(self):
            self.alive = 2
            self.pairs = self._pairs if isinstance(score, Mixed) else None
            if self.pairs is None:
                del self.pairs

        def score(self, query, items):
            return self._pairs([query] * len(items), items)

        def _pairs(self, queries, items):
            if self.alive == 0:
                raise RuntimeError("the model went away")
            self.alive -= 1
            paid.extend(zip(queries, items, strict=True))
            return [one(q, i) for q, i in zip(queries, items, strict=True)]

    for _ in range(20):
        begun = Scores.open(plan, QUERIES, ITEMS, tmp_path / "torn", scorer="s")
        try:
            begun.fill(Failing())
            break
        except ScorerError as error:
            assert f"scores are kept in {tmp_path / 'torn'}" in str(error)  # noqa: PT017
    assert len(paid) == len(set(paid)) == plan.calls
    assert files(tmp_path / "torn") == files(tmp_path / "whole")
    assert begun.values.tolist() == whole.values.tolist()


@pytest.mark.parametrize("mixes", [False, True], ids=["one query a call", "pairs"])
def test_a_resumed_run_makes_the_calls_that_an_uninterrupted_one_would(mixes, tmp_path):
    def noting(calls, fails_at):
        def pairs(queries, items):
            if len(calls) == fails_at:
                raise RuntimeError("gone")
            calls.append((tuple(queries), tuple(items)))
            return [one(q, i) for q, i in zip(queries, items, strict=True)]

        alone = SimpleNamespace(score=lambda query, items: pairs([query] * len(items), items))
        return SimpleNamespace(score=pairs, pairs=pairs) if mixes else alone

    plan = plans.dense(7, 450)
    whole, torn = [], []
    Scores.open(plan, QUERIES, ITEMS).fill(noting(whole, None))
    with pytest.raises(ScorerError):
        Scores.open(plan, QUERIES, ITEMS, tmp_path / "m").fill(noting(torn, 2))
    Scores.open(plan, QUERIES, ITEMS, tmp_path / "m").fill(noting(torn, None))
    assert torn == whole


def test_in_memory_fill_goes_on_after_an_error():
    plan = plans.dense(7, 450)
    left = [3]

    def score(query, items):
        left[0] -= 1
        if left[0] == 0:
            return [np.nan] * len(items)
        return judge(query, items)

    scores = Scores.open(plan, QUERIES, ITEMS)
    with pytest.raises(ScorerError, match="finite"):
        scores.fill(score)
    assert 0 < scores.calls < plan.calls
    with pytest.raises(ValueError, match="call `fill` to go on"):
        scores.matrix()
    assert scores.fill(score).is_whole


class Torn(Mixed):
    """Has no number for one pair until it is mended; notes those that it gave before that pair."""

    def __init__(self):
        self.mended, self.kept = False, []

    def score(self, query, items):
        return self.pairs([query] * len(items), items)

    def pairs(self, queries, items):
        pairs = list(zip(queries, items, strict=True))
        bad = [pair == (QUERIES[3], ITEMS[200]) and not self.mended for pair in pairs]
        self.kept += pairs[: bad.index(True)] if any(bad) else pairs
        return np.where(bad, np.nan, np.array(super().pairs(queries, items), float))


@pytest.mark.parametrize("mixes", [False, True], ids=["one query a call", "pairs"])
@pytest.mark.parametrize("kept", [False, True], ids=["in memory", "on the disk"])
def test_a_nan_keeps_what_its_call_said_before_it(mixes, kept, tmp_path):
    judge, plan = Torn(), plans.dense(7, 450)
    score = judge if mixes else judge.score
    folder = tmp_path / "m" if kept else None
    scores = Scores.open(plan, QUERIES, ITEMS, folder)
    for _ in range(2):  # the second time its call begins with that pair
        with pytest.raises(ScorerError, match=r"item 'item 200'.*; 1,550 of 3,150 scores"):
            scores.fill(score)
    judge.mended = True
    again = Scores.open(plan, QUERIES, ITEMS, folder) if kept else scores
    whole = Scores.open(plan, QUERIES, ITEMS).fill(Mixed())
    assert again.fill(score).values.tolist() == whole.values.tolist()
    assert len(judge.kept) == len(set(judge.kept)) == plan.calls


SLOW = """
import sys, time
sys.path.insert(0, {here!r})
from test_scores import ITEMS, QUERIES, judge
from magnetite.index.cur import plan, scores
scores.CHECKPOINT_S = 0.0
plan.CALL_PAIRS = 64

def slow(query, items):
    time.sleep(0.004)
    return judge(query, items)

whole = scores.Scores.open(plan.dense(7, 450), QUERIES, ITEMS, sys.argv[1], scorer="s")
print(whole.calls, flush=True)
whole.fill(slow)
"""


def begun(folder: Path) -> subprocess.Popen:
    code = SLOW.format(here=str(Path(__file__).parent))
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True
    )


def wait_for_lines(journal: Path, count: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if journal.exists() and journal.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.001)
    raise AssertionError(f"{journal} has not grown to {count} lines")


@pytest.mark.skipif(os.name != "posix", reason="SKIPPED LOUDLY: no SIGKILL here")
def test_a_build_killed_over_and_over_has_the_bytes_of_one_that_was_not(tmp_path, monkeypatch):
    torn = tmp_path / "torn"
    starts = []
    for lines in (4, 12, 30):
        run = begun(torn)
        wait_for_lines(torn / module.JOURNAL, lines)
        run.send_signal(signal.SIGKILL)
        run.wait()
        starts.append(int(run.stdout.read()))
        run.stdout.close()
    last = begun(torn)
    assert last.wait() == 0
    starts.append(int(last.stdout.read()))
    last.stdout.close()
    assert starts[0] == 0
    assert starts == sorted(set(starts)), "each run went on from where the one before it was killed"
    monkeypatch.setattr(plans, "CALL_PAIRS", 64)
    Scores.open(plans.dense(7, 450), QUERIES, ITEMS, tmp_path / "whole", scorer="s").fill(judge)
    assert files(torn) == files(tmp_path / "whole")


@pytest.mark.skipif(os.name != "posix", reason="SKIPPED LOUDLY: no SIGINT to a process here")
def test_control_c_keeps_what_was_paid_for(tmp_path):
    run = begun(tmp_path / "torn")
    wait_for_lines(tmp_path / "torn" / module.JOURNAL, 3)
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=30) != 0
    run.stdout.close()
    plan = plans.dense(7, 450)
    kept = Scores.open(plan, QUERIES, ITEMS, tmp_path / "torn", scorer="s")
    assert 0 < kept.calls < plan.calls
    wanted = [one(QUERIES[i // 450], ITEMS[i % 450]) for i in range(kept.calls)]
    assert kept.values.tolist() == wanted


def half(folder: Path) -> None:
    """Leave a matrix begun."""
    left = [2]

    def score(query, items):
        left[0] -= 1
        return judge(query, items) if left[0] >= 0 else None

    with pytest.raises(ScorerError):
        Scores.open(plans.dense(7, 450), QUERIES, ITEMS, folder, scorer="s").fill(score)


CHANGES = {
    "scorer": lambda: (plans.dense(7, 450), QUERIES, ITEMS, "t"),
    "plan": lambda: (plans.dense(7, 450, calls=900), QUERIES, ITEMS, "s"),
    "queries": lambda: (plans.dense(7, 450), ["other", *QUERIES[1:]], ITEMS, "s"),
    "items": lambda: (plans.dense(7, 450), QUERIES, ["other", *ITEMS[1:]], "s"),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("whole", [False, True], ids=["begun", "whole"])
def test_scores_of_something_else_are_refused(what, whole, tmp_path):
    half(tmp_path / "m")
    if whole:
        Scores.open(plans.dense(7, 450), QUERIES, ITEMS, tmp_path / "m", scorer="s").fill(judge)
    plan, queries, items, scorer = CHANGES[what]()
    with pytest.raises(FormatError, match=f"of another .*{what}"):
        Scores.open(plan, queries, items, tmp_path / "m", scorer=scorer)


@pytest.mark.parametrize("whole", [False, True], ids=["begun", "whole"])
@pytest.mark.parametrize("harm", ["flipped", "short"])
def test_a_changed_file_is_refused(harm, whole, tmp_path):
    half(tmp_path / "m")
    if whole:
        Scores.open(plans.dense(7, 450), QUERIES, ITEMS, tmp_path / "m", scorer="s").fill(judge)
    path = tmp_path / "m" / module.VALUES
    raw = bytearray(path.read_bytes())
    raw[5] ^= 1
    path.write_bytes(raw if harm == "flipped" else raw[:-4])
    with pytest.raises(FormatError, match="changed or truncated"):
        Scores.open(plans.dense(7, 450), QUERIES, ITEMS, tmp_path / "m", scorer="s")


def test_a_line_torn_by_a_kill_and_scores_without_a_line_are_cut_off(tmp_path):
    half(tmp_path / "m")
    kept = json.loads((tmp_path / "m" / module.JOURNAL).read_text().splitlines()[-1])["calls"]
    with (tmp_path / "m" / module.JOURNAL).open("ab") as file:
        file.write(b'{"calls": 99')
    with (tmp_path / "m" / module.VALUES).open("ab") as file:
        file.write(b"torn..")
    again = Scores.open(plans.dense(7, 450), QUERIES, ITEMS, tmp_path / "m", scorer="s")
    assert again.calls == kept
    again.fill(judge)
    Scores.open(plans.dense(7, 450), QUERIES, ITEMS, tmp_path / "w", scorer="s").fill(judge)
    assert files(tmp_path / "m") == files(tmp_path / "w")


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="other files"):
        Scores.open(plans.dense(7, 450), QUERIES, ITEMS, tmp_path)
    assert files(tmp_path) == {"mine.txt": b"mine"}


def test_two_at_once_are_refused(tmp_path):
    def score(query, items):
        with pytest.raises(OSError, match="another process is writing"):
            Scores.open(plans.dense(7, 450), QUERIES, ITEMS, tmp_path / "m")
        return judge(query, items)

    Scores.open(plans.dense(7, 450, calls=450), QUERIES, ITEMS, tmp_path / "m").fill(score)


def test_things_that_json_cannot_say_need_no_folder(tmp_path):
    things = [object() for _ in range(3)]
    plan = plans.dense(3, 3)
    assert Scores.open(plan, things, things).fill(lambda q, i: [1.0] * len(i)).is_whole
    with pytest.raises(TypeError, match="without a folder anything goes"):
        Scores.open(plan, things, things, tmp_path / "m")


def test_scores_beyond_float32_are_refused():
    with pytest.raises(ScorerError, match="scale them"):
        Scores.open(plans.dense(1, 1), ["q"], ["i"]).fill(lambda q, i: [1e300])
