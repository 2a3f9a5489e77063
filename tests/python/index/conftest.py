"""What the tests of indexes share."""

import numpy as np
import pytest

from magnetite.index import Index


@pytest.fixture(scope="session")
def rows():
    """Rows around sixteen centres, as text vectors lie: a function of count, dim and seed."""

    def make(count, dim=24, seed=0):
        rng = np.random.default_rng(seed)
        centres = 2 * np.random.default_rng(9).standard_normal((16, dim))
        near = centres[rng.integers(16, size=count)]
        return (near + rng.standard_normal((count, dim))).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def ivf(rows):
    """5,000 of those rows in 40 lists; not to be changed."""
    return Index.build(rows(5_000), kind="ivf", lists=40)
