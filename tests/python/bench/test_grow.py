"""A grown set is as dense as its source, holds it, and knows its nearest rows."""

import numpy as np
import pytest
from click.testing import CliRunner

from magnetite.bench import data, grow


@pytest.fixture(scope="module")
def small():
    return data.centres(n=2_000, dim=16)


def test_a_grown_set_keeps_the_real_rows_and_is_as_dense(small):
    out = np.zeros((6_000, 16), dtype=np.float32)
    filled = np.zeros(6_000, dtype=int)
    parts = grow.grown(small.vectors, 6_000, seed=3)
    places, real = next(parts)
    assert np.array_equal(real, small.vectors)
    out[places], filled[places] = real, 1
    for others, rows in parts:  # `others` keeps the last
        out[others] = rows
        filled[others] += 1
    assert (filled == 1).all()
    assert np.allclose(np.linalg.norm(out, axis=1), 1, atol=1e-6)
    for _, rows in grow.grown(small.vectors, 6_000, seed=3):
        last = rows
    assert np.array_equal(last, out[others])


def test_the_step_makes_clones_as_near_as_real_neighbours(small):
    rng = np.random.default_rng(0)
    found = grow.cells(small.vectors, rng)
    step, wanted = grow.step_for(small.vectors, found, rng)
    source = np.arange(2_000)
    moved = grow.clones(small.vectors, found, source, step, rng)
    assert abs(np.median((moved * small.vectors).sum(axis=1)) - wanted) < 0.03


def test_the_command_leaves_what_the_bench_reads(small, tmp_path):
    np.save(tmp_path / "v.npy", small.vectors)
    np.save(tmp_path / "q.npy", small.queries[:20])
    words = [str(tmp_path / name) for name in ("v.npy", "q.npy", "out")]
    result = CliRunner().invoke(grow.main, [*words, "--rows", "3000"])
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    read = data.load(out / "vectors.npy", out / "queries.npy", out / "truth.npy", 1)
    best = np.argsort(-(read.queries @ read.vectors.T), axis=1)[:, :10]
    assert read.recall(best, 10) > 0.99
