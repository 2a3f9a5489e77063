"""encode, index, search, verify and eval: what they write and say, and what they refuse."""

import gzip
import json
import shutil
import signal
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest

from magnetite.encode import Encoder
from magnetite.encode.encoder import BUILTIN
from magnetite.index import Collection, Index
from magnetite.index.collection import writer


@pytest.fixture(scope="module")
def encoder():
    return Encoder.load()


# encode


def kill_midway(command, is_midway):
    """Run `command` and end it by SIGKILL once it has done some of its work."""
    running = subprocess.Popen(command)
    while running.poll() is None:
        if is_midway():
            running.send_signal(signal.SIGKILL)
            break
    if running.wait() != -signal.SIGKILL:
        pytest.skip("SKIPPED LOUDLY: the writer was done before it could be killed")


def test_encode_writes_the_vector_of_each_line(tmp_path, call, encoder):
    texts = ["Waves and tides.", "", "Flour, water\u2028and salt."]
    (tmp_path / "t.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    said = call("encode", tmp_path / "t.txt", "-o", tmp_path / "x.npy", "--json").output
    assert np.array_equal(np.load(tmp_path / "x.npy"), encoder.encode(texts))
    answer = json.loads(said)
    assert (answer["rows"], answer["dim"], answer["resumed_rows"]) == (3, encoder.dim, 0)
    assert answer["encoder"] == encoder.fingerprint


def test_encode_reads_jsonl_titles_first_and_gzip(tmp_path, call, corpus, encoder):
    zipped = tmp_path / "c.jsonl.gz"
    zipped.write_bytes(gzip.compress(corpus.read_bytes()))
    call("encode", zipped, "-o", tmp_path / "x.npy")
    first = encoder.encode("The sea Waves and tides move salt water along the coast.")
    assert np.allclose(np.load(tmp_path / "x.npy")[0], first, atol=1e-6)


def test_encode_killed_and_again_gives_the_same_bytes(tmp_path, call):
    texts = tmp_path / "t.txt"
    texts.write_text(
        "".join(f"sentence {i} of many, about thing {i % 97}\n" for i in range(40_000))
    )
    call("encode", texts, "-o", tmp_path / "whole.npy")
    command = [sys.executable, "-m", "magnetite.cli", "encode", str(texts)]
    journal = tmp_path / "x.npy.parts" / "parts.journal"
    kill_midway(
        [*command, "-o", str(tmp_path / "x.npy")],
        lambda: journal.exists() and journal.read_bytes().count(b"\n") > 2,
    )
    said = json.loads(call("encode", texts, "-o", tmp_path / "x.npy", "--json").output)
    assert 0 < said["resumed_rows"] < 40_000
    assert (tmp_path / "x.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.txt", "", "no texts"),
        (
            "t.jsonl",
            '{"text": "x"}\n{"txt": "y"}\n',
            "t.jsonl:2: expected the field 'text', got txt",
        ),
        ("t.jsonl", "{\n", "t.jsonl:1: not JSON"),
    ],
)
def test_encode_names_a_bad_input(tmp_path, call, name, text, said):
    (tmp_path / name).write_text(text)
    result = call("encode", tmp_path / name, "-o", tmp_path / "x.npy", code=1)
    assert said in result.output
    assert not (tmp_path / "x.npy").exists()


def test_encode_names_an_unknown_prompt(tmp_path, call, corpus):
    said = call("encode", corpus, "-o", tmp_path / "x.npy", "--prompt", "nope", code=1).output
    assert "no prompt is named 'nope'" in said
    call("encode", corpus, "-o", tmp_path / "x.npy")


def test_encode_refuses_to_overwrite_and_odd_names(tmp_path, call, corpus):
    (tmp_path / "x.npy").write_bytes(b"mine")
    assert "exists; remove it" in call("encode", corpus, "-o", tmp_path / "x.npy", code=1).output
    assert "ends in .npy" in call("encode", corpus, "-o", tmp_path / "x.bin", code=2).output
    assert (
        "does not exist" in call("encode", tmp_path / "no", "-o", tmp_path / "y.npy", code=2).output
    )


# index and search


def test_index_then_search_shows_the_documents(tmp_path, call, corpus):
    said = call("index", corpus, "-o", tmp_path / "here").output
    assert "5 documents" in said
    said = call("search", tmp_path / "here", "which mineral attracts iron?", "-k", "2").output
    first = said.splitlines()[1]
    assert "Magnetite" in first
    assert "[iron]" in first


def test_search_answers_in_json(tmp_path, call, corpus, encoder):
    call("index", corpus, "-o", tmp_path / "here")
    found = call("search", tmp_path / "here", "tides", "bread", "-k", "3", "--json").output
    answers = json.loads(found)
    assert [answer["query"] for answer in answers] == ["tides", "bread"]
    assert answers[1]["hits"][0]["id"] == "bread"
    assert answers[1]["hits"][0]["text"].startswith("Flour")
    scores = [hit["score"] for hit in answers[0]["hits"]]
    assert scores == sorted(scores, reverse=True)
    wanted = encoder.encode("tides") @ encoder.encode(
        "The Moon It pulls at the oceans, and so the tides follow it."
    )
    moon = next(hit for hit in answers[0]["hits"] if hit["id"] == "moon")
    assert moon["score"] == pytest.approx(float(wanted), abs=1e-5)


def test_more_results_than_documents_shows_all(tmp_path, call, corpus):
    call("index", corpus, "-o", tmp_path / "here")
    found = call("search", tmp_path / "here", "tides", "-k", "50", "--json").output
    assert sorted(h["id"] for h in json.loads(found)[0]["hits"]) == [
        "bread", "empty", "iron", "moon", "sea"
    ]  # fmt: skip


def test_index_reads_a_beir_folder_and_lines_of_text(tmp_path, call, beir):
    call("index", beir, "-o", tmp_path / "here")
    (tmp_path / "lines.txt").write_text("sea\n\nbread and butter\n")
    call("index", tmp_path / "lines.txt", "-o", tmp_path / "there")
    found = call("search", tmp_path / "there", "butter", "-k", "1", "--json").output
    assert json.loads(found)[0]["hits"][0]["id"] == "3"


def test_two_builds_have_the_same_bytes(tmp_path, call, corpus):
    for name in ("a", "b"):
        call("index", corpus, "-o", tmp_path / name)
    files = sorted(
        p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()
    )
    assert files
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no documents"),
        ('{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}\n', ":2: id 'a' is taken by line 1"),
        ('{"_id": "a", "text": "x"}\n{"_id": "b"}\n', ":2: expected the field 'text'"),
        ("[]\n", ":1: expected a JSON object, got list"),
    ],
)
def test_index_names_a_bad_corpus(tmp_path, call, text, said):
    (tmp_path / "c.jsonl").write_text(text)
    assert said in call("index", tmp_path / "c.jsonl", "-o", tmp_path / "here", code=1).output


def test_index_of_a_changed_corpus_encodes_what_changed(tmp_path, call, corpus):
    def index(*options):
        said = json.loads(call("index", corpus, "-o", tmp_path / "here", "--json", *options).output)
        counts = ("documents", "added", "updated", "unchanged", "encoded", "deleted")
        return [said[name] for name in counts]

    assert index() == [5, 5, 0, 0, 5, 0]
    assert index() == [5, 0, 0, 5, 0, 0]
    rows = [json.loads(line) for line in corpus.read_text().splitlines()]
    rows[0]["text"], rows[1]["year"], rows[2]["_id"] = "Salt water.", 1845, "loaf"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert index() == [6, 1, 2, 2, 2, 0]
    assert index("--delete-missing") == [5, 0, 0, 5, 0, 1]
    found = call("search", tmp_path / "here", "bread", "--json").output
    assert "loaf" in found
    assert '"bread"' not in found.replace('"query": "bread"', "")
    said = call("index", corpus, "-o", tmp_path / "here", "--kind", "ivf", code=2).output
    assert "are for a new collection" in said


def test_index_killed_and_again_gives_the_same_collection(tmp_path, call):
    corpus = tmp_path / "c.jsonl"
    rows = ({"_id": str(i), "text": f"text {i} about thing {i % 31}"} for i in range(30_000))
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "magnetite.cli", "index", str(corpus), "-o"]

    def is_midway():
        with suppress(ValueError, OSError), Collection.open(tmp_path / "here") as begun:
            return len(begun) > 2 * writer.BLOCK
        return False

    kill_midway([*command, str(tmp_path / "here")], is_midway)
    assert call("verify", tmp_path / "here")
    said = json.loads(call("index", corpus, "-o", tmp_path / "here", "--json").output)
    assert said["unchanged"] > 2 * writer.BLOCK
    call("index", corpus, "-o", tmp_path / "whole")
    names = [
        sorted(p.name for p in (tmp_path / at / "vectors").iterdir()) for at in ("here", "whole")
    ]
    assert names[0] == names[1]  # segments are called by their content
    with Collection.open(tmp_path / "here") as here, Collection.open(tmp_path / "whole") as whole:
        assert list(here) == list(whole)


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_a_kind_of_index_may_be_asked_for(tmp_path, call, kind):
    lines = tmp_path / "lines.txt"
    lines.write_text("".join(f"thing number {i} of many\n" for i in range(400)))
    call("index", lines, "-o", tmp_path / "here", "--kind", kind)
    found = call("search", tmp_path / "here", "thing number 77", "-k", "1", "--json").output
    assert json.loads(found)[0]["hits"][0]["text"] == "thing number 77 of many"


def test_search_refuses_what_is_no_collection(tmp_path, call, corpus):
    assert "not a collection" in call("search", tmp_path, "x", code=1).output
    call("index", corpus, "-o", tmp_path / "here")
    database = tmp_path / "here" / "documents.sqlite"
    database.write_bytes(database.read_bytes()[:5000])
    said = call("search", tmp_path / "here", "x", code=1).output
    assert "documents.sqlite: damaged" in said


def test_search_where_metadata_meets_a_condition(tmp_path, call):
    rows = [
        {"_id": "a", "text": "iron ore", "year": 2019, "tags": ["x"]},
        {"id": 7, "text": "iron rust", "year": 2021, "metadata": {"by": "Ann"}},
        {"_id": "c", "text": "iron", "title": None},
    ]
    corpus = tmp_path / "c.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    call("index", corpus, "-o", tmp_path / "here")

    def search(where):
        said = call("search", tmp_path / "here", "iron", "--json", "--where", json.dumps(where))
        return json.loads(said.output)[0]["hits"]

    [hit] = search({"year": {"$gte": 2020}})
    assert (hit["id"], hit["metadata"]) == ("7", {"year": 2021, "by": "Ann"})
    assert [hit["id"] for hit in search({"tags": "x"})] == ["a"]
    assert [hit["id"] for hit in search({"$not": {"year": {"$gt": 0}}})] == ["c"]
    here = tmp_path / "here"
    assert "not JSON" in call("search", here, "x", "--where", "year > 3", code=2).output
    assert "no operator '$like'" in (
        call("search", here, "x", "--where", '{"a": {"$like": 1}}', code=1).output
    )


def test_search_says_where_a_moved_encoder_was(tmp_path, call, corpus):
    shutil.copytree(BUILTIN, tmp_path / "mine")
    call("index", corpus, "-o", tmp_path / "here", "--model", tmp_path / "mine")
    assert "Magnetite" in call("search", tmp_path / "here", "magnetic").output
    (tmp_path / "mine").rename(tmp_path / "moved")
    assert "say where it is with --model" in call("search", tmp_path / "here", "x", code=1).output
    moved = tmp_path / "moved"
    assert "Magnetite" in call("search", tmp_path / "here", "magnetic", "--model", moved).output


def test_a_query_must_be_given(tmp_path, call, corpus):
    call("index", corpus, "-o", tmp_path / "here")
    assert "Missing argument" in call("search", tmp_path / "here", code=2).output


# verify


def test_verify_accepts_the_built_in_encoder(call):
    assert json.loads(call("verify", "--json").output)["ok"] is True


def test_verify_looks_into_an_index_and_a_collection(tmp_path, call, corpus):
    rows = np.random.default_rng(0).standard_normal((30, 8), np.float32)
    Index.build(rows).save(tmp_path / "index")
    found = json.loads(call("verify", tmp_path / "index", "--json").output)
    assert (found["ok"], found["rows"], found["segments"]) == (True, 30, 1)
    call("index", corpus, "-o", tmp_path / "here")
    found = json.loads(call("verify", tmp_path / "here", "--json").output)
    assert (found["ok"], found["documents"], found["segments"]) == (True, 5, 1)
    for folder in (tmp_path / "index", tmp_path / "here" / "vectors"):
        [segment] = folder.glob("*.segment")
        changed = bytearray(segment.read_bytes())
        changed[100] ^= 1
        segment.write_bytes(changed)
    for folder in (tmp_path / "index", tmp_path / "here"):
        assert ".segment" in call("verify", folder, code=1).output


def test_verify_names_a_changed_file(tmp_path, call):
    shutil.copytree(BUILTIN, tmp_path / "mine")
    call("verify", tmp_path / "mine")
    tokenizer = tmp_path / "mine" / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes() + b" ")
    assert "tokenizer.json is changed" in call("verify", tmp_path / "mine", code=1).output


def test_a_folder_that_is_no_artifact_is_named(tmp_path, call, corpus):
    said = call("encode", corpus, "-o", tmp_path / "x.npy", "--model", tmp_path, code=1).output
    assert "is not an artifact" in said


# eval


def test_eval_shows_the_default_measures(call, beir):
    said = call("eval", beir).output
    assert "2 queries (test), 5 documents" in said
    assert said.count("built-in") == 1
    for measure in ("nDCG@10", "RR@10", "R@10", "R@100"):
        assert measure in said


def test_eval_splits_by_training_and_compares_with_a_run(tmp_path, call, beir):
    call("eval", beir, "--run", tmp_path / "base.trec")
    page = tmp_path / "out" / "report.html"
    train = beir / "qrels" / "train.tsv"
    options = ["--compare", tmp_path / "base.trec", "--train-qrels", train, "--html", page]
    answer = json.loads(call("eval", beir, *options, "--json").output)
    assert [(row["group"], row["queries"]) for row in answer["rows"]][::2] == [
        ("all queries", 2), ("unseen", 1), ("seen", 1)
    ]  # fmt: skip
    change = answer["rows"][1]["change"]
    assert (change["mean"], change["p"]) == (0.0, 1.0)  # the same run, read back from its file
    assert "<svg" in page.read_text()


def test_eval_of_a_collection_equals_eval_of_its_encoder(tmp_path, call, beir):
    call("index", beir, "-o", tmp_path / "here")
    folder = json.loads(call("eval", beir, "--index", tmp_path / "here", "--json").output)
    model = json.loads(call("eval", beir, "--json").output)
    assert folder["rows"][0]["values"] == model["rows"][0]["values"]


def test_eval_takes_any_measure_and_names_an_unknown_one(call, beir):
    said = call("eval", beir, "--measure", "AP", "--measure", "Success@1").output
    assert "Success@1" in said
    assert "unknown measure 'Foo@3'" in call("eval", beir, "--measure", "Foo@3", code=1).output


def test_eval_correlates_sentence_pairs(tmp_path, call):
    rows = ["a cat sits\ta cat is sitting\t5.0", "a cat sits\tstocks fell\t0.2", "red\tred car\t3"]
    (tmp_path / "s.tsv").write_text("text_a\ttext_b\tscore\n" + "\n".join(rows) + "\n")
    assert json.loads(call("eval", tmp_path / "s.tsv", "--json").output)["spearman"] == {
        "built-in": pytest.approx(1.0)
    }
    said = call("eval", tmp_path / "s.tsv", "--html", tmp_path / "r.html", code=2).output
    assert "takes --model alone" in said


def test_eval_names_a_missing_split_and_a_missing_extra(call, beir, monkeypatch):
    assert (
        "no split 'dev'; it has test, train" in call("eval", beir, "--split", "dev", code=1).output
    )
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    assert 'pip install "magnetite[eval]"' in call("eval", beir, code=1).output
