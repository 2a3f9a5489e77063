"""Files to examples, examples to batches, and who is mined."""

import gzip
import json
from itertools import pairwise

import cases
import pytest
import torch

from magnetite import FormatError, learn
from magnetite.learn.data import (
    ABSENT,
    Data,
    OneGroupABatch,
    Ragged,
    Strided,
    Texts,
    TextTable,
    Vectors,
    Weighted,
    in_order,
    shuffled,
)
from magnetite.learn.data.mine import mine, nearest
from magnetite.learn.data.stream import brackets, windows


def test_jsonl_is_read_with_lists_and_numbers(tmp_path):
    rows = [
        {"query": "a", "document": "b", "negatives": ["c", "a"], "score": 1},
        {"query": "a", "document": "é", "negatives": [], "score": 0.5},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    names = ["query", "document", "negatives"]
    data = learn.read_jsonl(tmp_path / "rows.jsonl", texts=names, numbers=["score"])
    table = data.texts("query").table
    assert table.texts == ["a", "b", "é", "c"]
    assert data.texts("query").rows.tolist() == [0, 0]
    assert data.texts("negatives").rows.tolist() == [[3, 0], [ABSENT, ABSENT]]
    assert data["score"].tolist() == [1.0, 0.5]


def test_tsv_and_lines_are_read(tmp_path):
    (tmp_path / "pairs.tsv").write_text("left\tright\tscore\na b\tc\t4.5\n", encoding="utf-8")
    data = learn.read_tsv(tmp_path / "pairs.tsv", texts=["left", "right"], numbers=["score"])
    assert data.texts("left").table.texts == ["a b", "c"]
    assert data["score"].tolist() == [4.5]
    (tmp_path / "lines.txt").write_text("one\n\ntwo\n", encoding="utf-8")
    assert learn.read_lines(tmp_path / "lines.txt").texts("text").table.texts == ["one", "two"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('{"query": "a", "score": 1}\nnot json', r"rows:2: not JSON"),
        ('{"query": "a", "score": 1}\n[1]', r"rows:2: expected a JSON object"),
        ('{"query": "a", "score": 1}\n{"score": 1}', r"rows:2: expected the field 'query'"),
        ('{"query": 7, "score": 1}', r"rows:1: expected 'query' as a string or a list .* got int"),
        ('{"query": ["a", 3], "score": 1}', r"rows:1: expected 'query'"),
        ('{"query": "a", "score": "much"}', r"rows:1: expected 'score' as a number, got 'much'"),
        ('{"query": "a", "score": true}', r"rows:1: expected 'score' as a number, got True"),
        ("", "holds no examples"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, lines, said):
    (tmp_path / "rows").write_text(lines, encoding="utf-8")
    with pytest.raises(FormatError, match=said):
        learn.read_jsonl(tmp_path / "rows", texts=["query"], numbers=["score"])


def test_a_bad_tsv_row_is_named_by_file_and_line(tmp_path):
    (tmp_path / "rows").write_text("a\tb\n1\t2\n1\n", encoding="utf-8")
    with pytest.raises(FormatError, match=r"rows:3: expected 2 tab-separated fields"):
        learn.read_tsv(tmp_path / "rows", texts=["a"])
    with pytest.raises(ValueError, match="name at least one column"):
        learn.read_tsv(tmp_path / "rows")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        learn.read_tsv(tmp_path / "nowhere", texts=["a"])


def test_a_beir_folder_gives_pairs_what_else_fits_and_the_corpus(tmp_path):
    def write(name, rows):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("".join(row + "\n" for row in rows), encoding="utf-8")

    documents = [{"_id": f"d{i}", "title": "t", "text": str(i)} for i in range(3)]
    write("corpus.jsonl", map(json.dumps, documents))
    write("queries.jsonl", [json.dumps({"_id": "q", "text": "what"})])
    write("qrels/train.tsv", ["query-id\tcorpus-id\tscore", "q\td2\t1", "q\td0\t1", "q\td1\t0"])
    data = learn.read_beir(tmp_path)
    texts = data.texts("document").table.texts
    assert [texts[row] for row in data.texts("document").rows.tolist()] == ["t 2", "t 0"]
    assert [texts[row] for row in data.texts("query").rows.tolist()] == ["what", "what"]
    assert [{texts[row] for row in group} for group in data["relevant"].tolist()] == [
        {"t 0", "t 2"}
    ] * 2
    assert {texts[row] for row in data.corpus.tolist()} == {"t 0", "t 1", "t 2"}


def test_columns_must_be_equally_long():
    with pytest.raises(ValueError, match="equally long"):
        Data({"a": torch.zeros(2), "b": torch.zeros(3)})
    with pytest.raises(KeyError, match="the data have: a"):
        Data({"a": torch.zeros(2)})["b"]
    with pytest.raises(TypeError, match="must hold texts"):
        Data({"a": torch.zeros(2)}).texts("a")


def test_a_batch_holds_inputs_and_facts():
    data = Data.of_texts(text=["1 2", "3", "1 2"], several=[["4"], [], ["5", "6 7 8"]])
    data = data.having(vector=Vectors(torch.eye(3)), label=torch.tensor([7, 8, 9]))
    with pytest.raises(ValueError, match="tokenized"):
        data.take(torch.tensor([0]))
    tokenizer = cases.tokenizer(special_tokens=False)
    batch = data.tokenized(tokenizer).take(torch.tensor([2, 1]))
    assert batch.facts["row"].tolist() == [2, 1]
    assert batch.facts["text_row"].tolist() == [0, 1]
    assert batch.facts["label"].tolist() == [9, 8]
    assert batch.inputs["vector"].tolist() == [[0, 0, 1], [0, 1, 0]]
    assert batch.inputs["text"].ids.tolist() == [[5, 6], [7, 0]]
    assert batch.inputs["several"].ids.tolist() == [
        [[9, 0, 0], [10, 11, 12]],
        [[0, 0, 0], [0, 0, 0]],
    ]
    assert batch.inputs["several"].mask.sum(-1).tolist() == [[1, 3], [0, 0]]
    assert [piece.inputs["text"].ids.tolist() for piece in batch.chunks(1)] == [[[5, 6]], [[7]]]


def test_each_distinct_text_is_tokenized_once():
    class Counting:
        count = 0

        def encode_batch(self, texts, **settings):
            self.count += len(texts)
            return cases.tokenizer().encode_batch(texts, **settings)

    counting, data = Counting(), Data.of_texts(a=["1", "2"], b=["2", "1"])
    data.tokenized(counting).tokenized(counting)
    data.tokenized(counting)
    assert counting.count == 2


def test_empty_ragged_texts_pad_to_one_column():
    empty = Ragged(torch.zeros(0, dtype=torch.int32), torch.zeros(3, dtype=torch.int64))
    padded = empty.padded(torch.tensor([0, 1]))
    assert padded.ids.tolist() == [[0], [0]]
    assert padded.mask.tolist() == [[0], [0]]


# -- orders


def test_orders_are_functions_of_the_seed():
    first = shuffled(9, batch=2, seed=1)
    assert sorted(first.tolist()) == list(range(9))
    assert torch.equal(first, shuffled(9, batch=2, seed=1))
    assert not torch.equal(first, shuffled(9, batch=2, seed=2))
    assert in_order(3, batch=2, seed=1).tolist() == [0, 1, 2]


def test_strided_rows_are_a_window_apart_from_a_new_offset():
    passes = [sorted(Strided(4)(20, batch=2, seed=seed).tolist()) for seed in range(20)]
    assert {rows[0] for rows in passes} == {0, 1, 2, 3}
    assert all(b - a == 4 for rows in passes for a, b in pairwise(rows))


def test_one_group_a_batch():
    groups = torch.tensor([0] * 7 + [1] * 5 + [2])
    rows = OneGroupABatch(groups)(13, batch=3, seed=0)
    assert len(rows) == 9
    assert all(len(set(groups[batch].tolist())) == 1 for batch in rows.split(3))
    with pytest.raises(ValueError, match="no group has the 9 rows"):
        OneGroupABatch(groups)(13, batch=9, seed=0)


def test_weighted_rows_come_in_proportion():
    rows = Weighted(torch.tensor([0.0, 1.0, 3.0]).repeat(1000))(3000, batch=2, seed=0)
    counts = torch.bincount(rows % 3, minlength=3).tolist()
    assert counts[0] == 0
    assert counts[2] == pytest.approx(2250, abs=5 * (3000 * 0.75 * 0.25) ** 0.5)


# -- streams


def test_a_stream_joins_texts_without_special_tokens():
    column = Data.of_texts(text=["1 2", "3", "1 2"]).texts("text")
    stream = windows(column, cases.tokenizer(), width=3)
    assert stream.ids.tolist() == [5, 6, 7, 5, 6]
    assert len(stream) == 3
    assert stream.take("text", torch.tensor([2, 0]))[0]["text"].ids.tolist() == [
        [7, 5, 6],
        [5, 6, 7],
    ]
    with pytest.raises(ValueError, match="5 tokens do not fill one window of 6"):
        windows(column, cases.tokenizer(), width=6)


def test_brackets_are_what_the_tokenizer_puts_around():
    assert brackets(cases.tokenizer()) == ([2], [3])
    assert brackets(cases.tokenizer(special_tokens=False)) == ([], [])


# -- the miner


def test_nearest_equals_brute_force():
    draws = torch.Generator().manual_seed(0)
    queries, items = (torch.randn(n, 6, generator=draws) for n in (5, 40))
    rows, scores = nearest(queries, items, 7)
    wanted = (queries @ items.T).topk(7)
    assert torch.equal(rows, wanted.indices)
    torch.testing.assert_close(scores, wanted.values)
    assert nearest(queries, items[:3], 7)[0].shape == (5, 3)


def test_mined_negatives_are_near_but_neither_relevant_nor_suspiciously_close():
    # Points on a circle: text i stands at i degrees; queries are texts too.
    table = TextTable(str(i) for i in range(90))

    def infer(examples):
        (name,) = examples.columns
        angle = examples.texts(name).rows.double() * torch.pi / 180
        return {name: torch.stack([angle.cos(), angle.sin()], 1)}

    data = Data(
        {
            "query": Texts(table, torch.tensor([0, 40])),
            "document": Texts(table, torch.tensor([10, 45])),
            "relevant": torch.tensor([[12, 14], [35, -1]]),
        },
        corpus=torch.arange(5, 90),
    )
    mined = mine(infer, data, count=3, depth=20, margin=1.0)
    # Closer than the positive: distrusted. 12 and 14 are relevant. 45 is the document.
    assert mined[0].tolist() == [11, 13, 15]
    assert mined[1].tolist() == [34, 46, 33]
    few = mine(infer, data, count=3, depth=8, margin=1.0)
    assert few[0].tolist() == [11, ABSENT, ABSENT]
