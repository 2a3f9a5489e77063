"""Collections of every released version of the format open, and give what they gave."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from magnetite.encode import Encoder
from magnetite.index import Collection, Document

GOLDEN = Path(__file__).parents[2] / "golden" / "collection-v1"
TOLD = json.loads((GOLDEN / "found.json").read_text())


@pytest.fixture(scope="module")
def make():
    """What wrote it."""
    spec = importlib.util.spec_from_file_location("make", GOLDEN / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def golden(tmp_path, make):
    shutil.copytree(GOLDEN / "static", tmp_path / "golden")
    with Collection.open(tmp_path / "golden", Encoder.load(make.ENCODER)) as collection:
        yield collection


def test_a_golden_collection_has_its_documents(golden):
    assert [[one.id, one.text, one.title, one.metadata] for one in golden] == TOLD["documents"]
    found = Collection.verify(golden.path)
    assert (found.documents, found.deleted) == (len(TOLD["documents"]), 5)


def test_a_golden_collection_finds_what_it_found(golden, make):
    found = make.found(golden, golden.encoder.dim)
    assert json.loads(json.dumps(found)) == TOLD["found"]


def test_a_golden_collection_can_be_written(golden, make):
    golden.upsert([make.document(3), Document("document 0", "another text")])
    assert len(golden) == len(TOLD["documents"]) + 1
    assert golden.get(["document 3"]) == [make.document(3)]
