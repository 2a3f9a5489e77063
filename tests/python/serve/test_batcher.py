"""The batcher: every row its vector, nobody starves, and who leaves is dropped."""

import asyncio
import itertools
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magnetite.serve import batcher
from magnetite.serve.batcher import Batcher
from magnetite.serve.refusal import Refusal

DIM = 3
requests = st.lists(st.lists(st.lists(st.integers(0, 99), max_size=9), max_size=12), max_size=12)


def ragged(rows):
    lengths = [len(row) for row in rows]
    ids = np.array([one for row in rows for one in row], np.int32)
    return ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def sums(ids, starts):
    """An engine that is easy to check: of each row its length, its sum and its last id."""
    rows = [ids[a:b] for a, b in itertools.pairwise(starts)]
    found = [[len(row), row.sum(), row[-1] if len(row) else -1] for row in rows]
    return np.array(found, np.float32).reshape(len(rows), DIM)


class Held:
    """`sums`, which waits in each window until it is let go."""

    def __init__(self):
        self.windows, self.go = [], threading.Semaphore(0)

    def __call__(self, ids, starts):
        self.windows.append(np.diff(starts).tolist())
        assert self.go.acquire(timeout=30)
        return sums(ids, starts)


def run(engine, test, limit=1 << 20):
    async def inside():
        one = Batcher(engine, DIM, limit_tokens=limit)
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


@pytest.mark.parametrize("window", [1, 7, 50, 8192])
@given(asked=requests)
@settings(max_examples=25, deadline=None)
def test_every_row_gets_its_own_vector(window, asked):
    async def all_at_once(one):
        return await asyncio.gather(*(one.encode(*ragged(rows)) for rows in asked))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batcher, "WINDOW_TOKENS", window)
        found = run(sums, all_at_once)
    for rows, vectors in zip(asked, found, strict=True):
        assert np.array_equal(vectors, sums(*ragged(rows)))


def test_requests_that_wait_share_a_window(monkeypatch):
    monkeypatch.setattr(batcher, "WINDOW_TOKENS", 100)
    engine = Held()

    async def test(one):
        waiting = [asyncio.ensure_future(one.encode(*ragged([[i] * 5]))) for i in range(10)]
        await until(lambda: engine.windows)
        engine.go.release(10)
        await asyncio.gather(*waiting)

    run(engine, test)
    assert engine.windows == [[5], [5] * 9]


def test_a_long_request_gives_way_after_each_window(monkeypatch):
    monkeypatch.setattr(batcher, "WINDOW_TOKENS", 10)
    engine = Held()

    async def test(one):
        long = asyncio.ensure_future(one.encode(*ragged([[1] * 5] * 100)))
        await until(lambda: engine.windows)
        short = asyncio.ensure_future(one.encode(*ragged([[2]])))
        await asyncio.sleep(0)
        engine.go.release(4)  # two are handed over already, and the long one was before it
        await asyncio.wait_for(short, 30)
        assert not long.done()
        engine.go.release(1000)
        await long

    run(engine, test)


def test_a_request_that_is_cancelled_runs_no_further(monkeypatch):
    monkeypatch.setattr(batcher, "WINDOW_TOKENS", 10)
    engine = Held()

    async def test(one):
        first = asyncio.ensure_future(one.encode(*ragged([[1] * 5] * 100)))
        second = asyncio.ensure_future(one.encode(*ragged([[2] * 5])))
        await until(lambda: engine.windows)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        engine.go.release(1000)
        assert np.array_equal(await second, sums(*ragged([[2] * 5])))
        await until(lambda: one.tokens == 0)

    run(engine, test)
    assert sum(map(sum, engine.windows)) < 50


def test_an_engine_that_fails_fails_its_requests_alone(monkeypatch):
    monkeypatch.setattr(batcher, "WINDOW_TOKENS", 5)

    def fragile(ids, starts):
        if 66 in ids:
            raise RuntimeError("66")
        return sums(ids, starts)

    async def test(one):
        asked = [[[1] * 5], [[2] * 5, [66] * 5, [3] * 5], [[4] * 5]]
        work = [one.encode(*ragged(rows)) for rows in asked]
        found = await asyncio.gather(*work, return_exceptions=True)
        await until(lambda: one.tokens == 0)
        return found

    first, failed, last = run(fragile, test)
    assert isinstance(failed, RuntimeError)
    assert np.array_equal(first, sums(*ragged([[1] * 5])))
    assert np.array_equal(last, sums(*ragged([[4] * 5])))


def test_what_does_not_fit_is_told_when_it_would():
    engine = Held()

    async def test(one):
        engine.go.release()
        await one.encode(*ragged([[1] * 50]))
        one.rate = 100.0
        waiting = asyncio.ensure_future(one.encode(*ragged([[1] * 80])))
        await until(lambda: len(engine.windows) == 2)
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
