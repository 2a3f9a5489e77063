"""Indexes of every released version of the format open, and give what they gave."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from magnetite.index import Index

GOLDEN = Path(__file__).parents[2] / "golden" / "index-v1"
FOUND = json.loads((GOLDEN / "hits.json").read_text())


def queries():
    """The questions of make.py."""
    spec = importlib.util.spec_from_file_location("make", GOLDEN / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    return make.rows(3, 2)


@pytest.mark.parametrize("verify", ["full", "lazy"])
@pytest.mark.parametrize("name", sorted(FOUND))
def test_a_golden_index_opens_and_finds_what_it_found(name, verify):
    index = Index.open(GOLDEN / name, verify)
    assert (len(index), index.deleted, index.segments) == (40, 6, 2)
    hits = index.search(queries(), k=50, probes=4)
    assert hits.ids.tolist() == FOUND[name]["ids"]
    assert hits.scores.view(np.uint32).tolist() == FOUND[name]["scores"]
    assert hits.counts.tolist() == FOUND[name]["counts"]


@pytest.mark.parametrize("name", sorted(FOUND))
def test_a_golden_index_is_verified(name):
    found = Index.verify(GOLDEN / name)
    assert (found.rows, found.deleted, found.segments) == (40, 6, 2)
