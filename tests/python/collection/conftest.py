"""What the tests of collections share."""

import pytest

from magnetite.encode import Encoder
from magnetite.index import Collection


@pytest.fixture(scope="session")
def encoder():
    return Encoder.load(threads=1)


@pytest.fixture
def make(tmp_path, encoder):
    """Make a collection in a directory of its own."""
    made = []

    def new(name="here", **options):
        made.append(Collection.create(tmp_path / name, encoder, threads=1, **options))
        return made[-1]

    yield new
    for one in made:
        one.close()
