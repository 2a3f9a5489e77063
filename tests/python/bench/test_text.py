"""The bench of texts runs every side on a user's own file and says what it measured."""

import json

import pytest
from click.testing import CliRunner

from magnetite.bench.encode import ALONE, BUILT_IN, OURS, PEER, USUAL, some
from magnetite.bench.text import Texts, read
from magnetite.cli import main


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "mine.jsonl"
    rows = [
        {"id": str(i), "text": f"magnet number {i} is made of iron " * (1 + i % 3)}
        for i in range(40)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def tiny_folder(tmp_path, tiny_shape, tiny_tokenizer):
    """A BERT of two layers as sentence-transformers saves it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    bert = tmp_path / "bert"
    BertModel(BertConfig(**tiny_shape)).save_pretrained(bert)
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tiny_tokenizer), pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(bert)
    parts = [Transformer(str(bert), max_seq_length=48), Pooling(32)]
    SentenceTransformer(modules=parts, device="cpu").save(str(tmp_path / "folder"))
    return tmp_path / "folder"


def rows_of(*words):
    result = CliRunner().invoke(main, ["bench", "text", *map(str, words), "--rounds", "1"])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_both_halves_are_measured_on_a_users_file(texts, tmp_path, tiny_artifact):
    out = tmp_path / "rows.jsonl"
    said = rows_of(texts, "--model", tiny_artifact, "--against", "tokenizers", "--json", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(said) == len(rows)
    tokenized = [row for row in rows if row["work"] == "tokenize"]
    assert [(row["system"], row["threads"]) for row in tokenized] == [
        (system, threads) for threads in (1, 2) for system in ("magnetite", "tokenizers")
    ]
    assert all(row["n"] == 40 and row["rate"] > 0 for row in rows)
    assert tokenized[0]["ratio"] > 0
    encoded = {row["system"]: row for row in rows if row["work"] == "encode"}
    assert set(encoded) == {OURS, ALONE, USUAL, BUILT_IN}
    assert encoded[OURS]["more"]["times_onnxruntime_alone"] > 0
    assert 0 <= encoded[OURS]["more"]["padding"] < 0.5


def test_a_sentence_transformers_folder_is_its_own_peer(texts, tmp_path, tiny_folder):
    out = tmp_path / "rows.jsonl"
    rows_of(texts, "--model", tiny_folder, "--threads", "1", "--json", out)
    rows = {row["system"]: row for row in map(json.loads, out.read_text().splitlines())}
    assert rows[OURS]["quality"] > 1 - 1e-5
    assert rows[OURS]["ratio"] > 0
    assert PEER in rows


def test_few_long_texts_stand_for_many_short_ones():
    assert len(some(Texts("short", ["x" * 150] * 900), 300).texts) == 300
    assert len(some(Texts("long", ["x" * 600] * 900), 300).texts) == 75


def test_no_text_counts_twice(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\ntwo\none\n")
    assert read(tmp_path / "a.txt", 10).texts == ["one", "two"]
