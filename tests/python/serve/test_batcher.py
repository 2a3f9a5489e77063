"""The batcher: every row its vector, nobody starves, and who leaves is dropped."""

import asyncio
import itertools
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magnetite.serve.batcher import NEAR, Batcher
from magnetite.serve.refusal import Refusal

DIM = 3
requests = st.lists(st.lists(st.lists(st.integers(0, 99), max_size=9), max_size=12), max_size=12)


def ragged(rows):
    lengths = [len(row) for row in rows]
    ids = np.array([one for row in rows for one in row], np.int32)
    return ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def sums(ids, starts, *_):
    """An engine that is easy to check: of each row its length, its sum and its last id."""
    rows = [ids[a:b] for a, b in itertools.pairwise(starts)]
    found = [[len(row), row.sum(), row[-1] if len(row) else -1] for row in rows]
    return np.array(found, np.float32).reshape(len(rows), DIM)


class Held:
    """`sums`, which waits in each batch until it is let go."""

    def __init__(self):
        self.batches, self.go = [], threading.Semaphore(0)

    def __call__(self, ids, starts, beside):
        self.batches.append(np.diff(starts).tolist())
        assert self.go.acquire(timeout=30)
        return sums(ids, starts)


def run(engine, test, budget=1024, near=NEAR, limit=1 << 20, threads=1):
    async def inside():
        one = Batcher(engine, DIM, budget=budget, threads=threads, near=near, limit_tokens=limit)
        try:
            return await test(one)
        finally:
            one.close()

    return asyncio.run(inside())


async def until(said):
    for _ in range(3000):
        if said():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited for 30 s")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("near", [0.0, NEAR])
@pytest.mark.parametrize("budget", [1, 7, 50, 8192])
@given(asked=requests)
@settings(max_examples=10, deadline=None)
def test_every_row_gets_its_own_vector(budget, near, threads, asked):
    async def all_at_once(one):
        found = await asyncio.gather(*(one.encode(*ragged(rows)) for rows in asked))
        await until(lambda: one.tokens == 0)
        assert (one._queued, list(one._jobs), one._shelves, one._busy) == (0, [], {}, 0)
        return found

    found = run(sums, all_at_once, budget, near, threads=threads)
    for rows, vectors in zip(asked, found, strict=True):
        assert np.array_equal(vectors, sums(*ragged(rows)))


@given(asked=requests, near=st.sampled_from([0.0, 0.5, NEAR, 1.0]), budget=st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_a_batch_keeps_its_budget_padding_counted(asked, near, budget):
    batches = []

    def engine(ids, starts, beside):
        batches.append(np.diff(starts).tolist())
        return sums(ids, starts)

    async def all_at_once(one):
        await asyncio.gather(*(one.encode(*ragged(rows)) for rows in asked))

    run(engine, all_at_once, budget, near)
    for lengths in batches:
        assert len(lengths) == 1 or (
            len(lengths) * max(lengths) <= budget if near else sum(lengths) <= budget
        )
        assert min(lengths) >= near * max(lengths)
    assert sum(map(len, batches)) == sum(map(len, asked))


def test_requests_that_wait_share_a_batch():
    engine = Held()

    async def test(one):
        waiting = [asyncio.ensure_future(one.encode(*ragged([[i] * 5]))) for i in range(10)]
        await until(lambda: engine.batches)
        engine.go.release(10)
        await asyncio.gather(*waiting)

    run(engine, test)
    assert engine.batches == [[5], [5] * 9]


def test_few_rows_are_run_together_and_many_beside_each_other():
    said = []

    def engine(ids, starts, beside):
        said.append(beside)
        return sums(ids, starts)

    async def test(one):
        await one.encode(*ragged([[1] * 5]))
        assert said == [False]
        await one.encode(*ragged([[1] * 5] * 100))

    run(engine, test, budget=20, threads=2)
    assert said[1:-2] == [True] * (len(said) - 3)


def test_a_short_request_passes_a_long_one():
    engine = Held()

    async def test(one):
        long = asyncio.ensure_future(one.encode(*ragged([[1] * 5] * 100)))
        await until(lambda: engine.batches)
        short = asyncio.ensure_future(one.encode(*ragged([[2]])))
        await asyncio.sleep(0)
        engine.go.release(4)  # two are handed over already, and the next may be the long one's
        await asyncio.wait_for(short, 30)
        assert not long.done()
        engine.go.release(1000)
        await long

    run(engine, test, budget=10)


def test_short_requests_do_not_hold_up_a_long_one_for_ever():
    async def test(one):
        long = asyncio.ensure_future(one.encode(*ragged([[1] * 5] * 20)))
        served = 0
        while not long.done():
            await asyncio.gather(*(one.encode(*ragged([[2] * 9])) for _ in range(8)))
            served += 8
            assert served < 800
        return await long

    assert len(run(sums, test, budget=5)) == 20


def test_a_request_that_is_cancelled_runs_no_further():
    engine = Held()

    async def test(one):
        first = asyncio.ensure_future(one.encode(*ragged([[1] * 5] * 100)))
        second = asyncio.ensure_future(one.encode(*ragged([[2] * 5])))
        await until(lambda: engine.batches)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        engine.go.release(1000)
        assert np.array_equal(await second, sums(*ragged([[2] * 5])))
        await until(lambda: one.tokens == 0)
        assert (list(one._jobs), one._shelves) == ([], {})

    run(engine, test, budget=10)
    assert sum(map(sum, engine.batches)) < 50


def test_an_engine_that_fails_fails_its_requests_alone():
    def fragile(ids, starts, beside):
        if 66 in ids:
            raise RuntimeError("66")
        return sums(ids, starts)

    async def test(one):
        asked = [[[1] * 5], [[2] * 5, [66] * 5, [3] * 5], [[4] * 5]]
        work = [one.encode(*ragged(rows)) for rows in asked]
        found = await asyncio.gather(*work, return_exceptions=True)
        await until(lambda: one.tokens == 0)
        return found

    first, failed, last = run(fragile, test, budget=5)
    assert isinstance(failed, RuntimeError)
    assert np.array_equal(first, sums(*ragged([[1] * 5])))
    assert np.array_equal(last, sums(*ragged([[4] * 5])))


def test_what_does_not_fit_is_told_when_it_would():
    engine = Held()

    async def test(one):
        engine.go.release()
        await one.encode(*ragged([[1] * 50]))
        one._late_tokens, one._late_s = 100.0, 1.0
        waiting = asyncio.ensure_future(one.encode(*ragged([[1] * 80])))
        await until(lambda: len(engine.batches) == 2)
        with pytest.raises(Refusal, match=r"room for these 40 in 0\.2 s") as refused:
            await one.encode(*ragged([[2] * 40]))
        assert (refused.value.status, refused.value.retry_after_s) == (429, 0.2)
        with pytest.raises(Refusal, match="101 tokens") as refused:
            await one.encode(*ragged([[2] * 101]))
        assert refused.value.status == 413
        engine.go.release(2)
        await one.encode(*ragged([[2] * 20]))
        await waiting
        assert one.tokens == 0

    run(engine, test, limit=100)
