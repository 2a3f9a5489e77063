"""A small corpus, and the command line as a user calls it."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from magnetite.cli import main

DOCUMENTS = [
    ("sea", "The sea", "Waves and tides move salt water along the coast."),
    ("iron", "Magnetite", "An iron oxide that attracts and repels: the most magnetic mineral."),
    ("bread", "Bread", "Flour, water, salt and yeast, kneaded and baked in a hot oven."),
    ("moon", "The Moon", "It pulls at the oceans, and so the tides follow it."),
    ("empty", "", ""),
]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    rows = [{"_id": name, "title": title, "text": text} for name, title, text in DOCUMENTS]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def beir(tmp_path, corpus):
    """A BEIR folder around the corpus, with training judgements that make one query seen."""
    queries = {"q1": "what makes the tides?", "q2": "which stone is magnetic?", "t1": "bread"}
    rows = [json.dumps({"_id": name, "text": text}) + "\n" for name, text in queries.items()]
    (tmp_path / "queries.jsonl").write_text("".join(rows))
    (tmp_path / "qrels").mkdir()
    head = "query-id\tcorpus-id\tscore\n"
    (tmp_path / "qrels" / "test.tsv").write_text(head + "q1\tmoon\t1\nq1\tsea\t1\nq2\tiron\t1\n")
    (tmp_path / "qrels" / "train.tsv").write_text(head + "t1\tbread\t1\nt1\tiron\t1\n")
    return tmp_path


@pytest.fixture
def call():
    """Call `magnetite` inside this process; a failure that is not wanted shows its output."""

    def run(*words, code=0):
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def shell():
    """Call `magnetite` in a process of its own."""

    def run(*words, **options):
        command = [sys.executable, "-m", "magnetite.cli", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False, **options)

    return run
