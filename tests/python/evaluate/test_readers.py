"""BEIR folders, judgements and STS files: what is read, and how a bad row is named."""

import gzip
import json

import pytest

from magnetite import FormatError
from magnetite.evaluate import read_beir, read_corpus, read_qrels, read_sts

CORPUS = [{"_id": "a", "title": "T", "text": "one\u2028two"}, {"_id": "b", "text": "three"}]
QUERIES = [{"_id": "q", "text": "which?"}, {"_id": "unjudged", "text": "what?"}]


def beir(folder, corpus=CORPUS, queries=QUERIES, qrels="query-id\tcorpus-id\tscore\nq\ta\t1\n"):
    (folder / "qrels").mkdir()
    for name, rows in (("corpus", corpus), ("queries", queries)):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text(qrels)
    return folder


def test_a_folder_is_read_whole(tmp_path):
    data = read_beir(beir(tmp_path))
    assert data.corpus.ids == ["a", "b"]
    assert data.corpus.passages() == ["T one\u2028two", "three"]
    assert data.queries == {"q": "which?"}
    assert data.qrels == {"q": {"a": 1}}


def test_gzipped_files_read_the_same(tmp_path):
    plain = read_beir(beir(tmp_path))
    for path in [*tmp_path.glob("*.jsonl"), *tmp_path.glob("qrels/*.tsv")]:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert read_beir(tmp_path) == plain


def test_every_beir_folder_at_hand_reads(shared):
    for path in shared.glob("*/qrels/*.tsv"):
        data = read_beir(path.parents[1], split=path.stem)
        assert len(data.corpus) > 0
        assert data.queries.keys() == data.qrels.keys()


def test_a_missing_split_names_those_at_hand(tmp_path):
    with pytest.raises(FileNotFoundError, match="no split 'dev'; it has test"):
        read_beir(beir(tmp_path), split="dev")


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl"])
def test_a_missing_file_is_named(tmp_path, missing):
    (beir(tmp_path) / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing):
        read_beir(tmp_path)


def test_a_missing_folder_says_what_one_holds(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no such folder; a BEIR folder holds corpus\.jsonl"
    ):
        read_beir(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{oops", "corpus.jsonl:2: not JSON"),
        ("[1]", "corpus.jsonl:2: expected a JSON object, got list"),
        ('{"_id": "b"}', "corpus.jsonl:2: expected the field 'text', got _id"),
        ('{"_id": 7, "text": "x"}', "corpus.jsonl:2: expected '_id' as str, got int"),
        ('{"_id": "b", "text": "x", "title": 1}', "corpus.jsonl:2: expected 'title' as str"),
        ('{"_id": "a", "text": "x"}', "corpus.jsonl:2: id 'a' is taken by line 1"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, line, said):
    path = tmp_path / "corpus.jsonl"
    path.write_text(json.dumps(CORPUS[0]) + "\n" + line + "\n")
    with pytest.raises(FormatError) as error:
        read_corpus(path)
    assert said in str(error.value)


def test_an_empty_corpus_is_refused(tmp_path):
    (tmp_path / "corpus.jsonl").write_text("\n\n")
    with pytest.raises(FormatError, match="no documents"):
        read_corpus(tmp_path / "corpus.jsonl")


def test_bytes_that_are_not_utf8_are_named(tmp_path):
    (tmp_path / "corpus.jsonl").write_bytes(b'{"_id": "a", "text": "x"}\n{"_id": "\xff"}\n')
    with pytest.raises(FormatError, match=r"corpus\.jsonl:2: not UTF-8"):
        read_corpus(tmp_path / "corpus.jsonl")


def test_a_truncated_gzip_stream_is_a_format_error(tmp_path):
    rows = "".join(
        json.dumps({"_id": str(n), "text": f"text {n * 7919}"}) + "\n" for n in range(999)
    )
    path = tmp_path / "corpus.jsonl.gz"
    path.write_bytes(gzip.compress(rows.encode())[:-900])
    with pytest.raises(FormatError, match="damaged gzip stream"):
        read_corpus(path)


@pytest.mark.parametrize(
    ("qrels", "said"),
    [
        (
            "query-id\tcorpus-id\tscore\nq\ta\tyes\n",
            "test.tsv:2: expected a whole number, got 'yes'",
        ),
        (
            "query-id\tcorpus-id\tscore\nq\ta\n",
            "test.tsv:2: expected query-id, corpus-id and score",
        ),
        (
            "query-id\tcorpus-id\tscore\nq\ta\t1\nq\ta\t0\n",
            "test.tsv:3: query 'q' and document 'a'",
        ),
        ("query-id\tcorpus-id\tscore\n", "test.tsv: no judgements"),
        ("query-id\tcorpus-id\tscore\nz\ta\t1\n", "judges query 'z'"),
        ("query-id\tcorpus-id\tscore\nq\tz\t1\n", "document 'z', relevant to query 'q'"),
    ],
)
def test_bad_judgements_are_named(tmp_path, qrels, said):
    with pytest.raises(FormatError) as error:
        read_beir(beir(tmp_path, qrels=qrels))
    assert said in str(error.value)


def test_trec_judgements_read_as_beir_ones(tmp_path):
    (tmp_path / "a.txt").write_text("q 0 d 2\nq 0 e 0\n")
    assert read_qrels(tmp_path / "a.txt") == {"q": {"d": 2, "e": 0}}


def test_every_sts_file_at_hand_reads(shared):
    files = [*shared.glob("stsb/*.tsv"), *shared.glob("sts12_14/*.tsv")]
    assert len(files) == 29
    for path in files:
        pairs = read_sts(path)
        assert len(pairs.first) == len(pairs.second) == len(pairs.scores) > 100
        assert 0 <= min(pairs.scores) <= max(pairs.scores) <= 5


def test_an_sts_file_may_be_gzipped(tmp_path, shared):
    packed = gzip.compress((shared / "stsb" / "en.test.tsv").read_bytes())
    (tmp_path / "en.test.tsv.gz").write_bytes(packed)
    assert read_sts(tmp_path / "en.test.tsv.gz") == read_sts(shared / "stsb" / "en.test.tsv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\tb\tc\n", "a.tsv:1: expected the header text_a text_b score"),
        ("text_a\ttext_b\tscore\nx\ty\n", "a.tsv:2: expected 3 tab-separated fields, got 2"),
        ("text_a\ttext_b\tscore\nx\ty\tnan\n", "a.tsv:2: expected a finite score, got 'nan'"),
        ("text_a\ttext_b\tscore\nx\ty\t1\n", "a.tsv: expected at least two pairs, got 1"),
    ],
)
def test_a_bad_sts_file_is_named(tmp_path, text, said):
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(FormatError) as error:
        read_sts(tmp_path / "a.tsv")
    assert said in str(error.value)
