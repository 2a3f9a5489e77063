"""Scores of pairs: the module's, the same in any company, and what is refused."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from magnetite.encode import Artifact, CrossEncoder, Encoder, verify
from magnetite.encode.artifact import MANIFEST
from magnetite.encode.frame import Frame, kept
from magnetite.encode.pairs import Pairing
from magnetite.learn.encoders import CrossEncoder as Module
from magnetite.learn.export import export
from magnetite.text import Tokenizer

torch.set_num_threads(1)

WORDS = [
    "iron",
    "the magnet of iron!",
    "",
    "x" * 60,
    "a b c d e f g",
    "ünïcode ж 猫",
    "north south",
]
PAIRS = [(query, document) for query in WORDS for document in WORDS]


@pytest.fixture(scope="module", params=["markers", "sides"])
def module(tiny_tower, request) -> Module:
    torch.manual_seed(5)
    made = Module.over(tiny_tower, ["[Q]", "[D]"], sides=request.param == "sides").eval()
    made.max_tokens = 24
    return made


@pytest.fixture(scope="module")
def folder(module, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("cross") / "encoder"
    export(module, out)
    return out


@pytest.fixture(scope="module")
def encoder(folder) -> CrossEncoder:
    return CrossEncoder.load(folder, threads=2)


def alone(module: Module, pair: tuple[str, str]) -> float:
    """What the module itself makes of a pair that no other stands beside."""
    ragged, _ = Pairing.of(module.tokenizer, module.max_tokens).rows([pair])
    cells = ragged.fill(np.zeros(1, np.int64), int(ragged.starts[-1]))
    with torch.inference_mode():
        return float(module(*map(torch.from_numpy, cells)))


def test_scores_are_the_modules(encoder, module):
    wanted = [alone(module, pair) for pair in PAIRS]
    np.testing.assert_allclose(encoder.predict(PAIRS), wanted, rtol=1e-5, atol=1e-5)


def test_a_score_is_the_same_alone_and_in_any_company(encoder):
    together = encoder.predict(PAIRS)
    bound = 1e-6 * max(1.0, float(np.abs(together).max()))
    for batch_tokens in (1, 64, 4096):
        order = np.random.default_rng(batch_tokens).permutation(len(PAIRS))
        again = encoder.predict([PAIRS[i] for i in order], batch_tokens=batch_tokens)
        np.testing.assert_allclose(again, together[order], rtol=0, atol=bound)
    apart = np.array([encoder.predict(pair) for pair in PAIRS])
    np.testing.assert_allclose(apart, together, rtol=0, atol=bound)


def test_score_and_pairs_are_predict(encoder):
    wanted = encoder.predict([("iron", word) for word in WORDS])
    np.testing.assert_array_equal(encoder.score("iron", WORDS), wanted)
    np.testing.assert_array_equal(encoder.pairs(["iron"] * len(WORDS), WORDS), wanted)
    assert encoder.score("iron", []).shape == (0,)
    assert wanted.dtype == np.float32


def test_a_sigmoid_is_one_and_keeps_the_order(encoder):
    raw = encoder.predict(PAIRS)
    squeezed = encoder.predict(PAIRS, activation="sigmoid")
    np.testing.assert_allclose(squeezed, 1 / (1 + np.exp(-raw.astype(np.float64))), rtol=1e-6)


def test_rank_gives_the_best_first_and_ties_by_place(encoder):
    documents = ["iron", "the magnet of iron!", "iron", "north south"]
    found = encoder.rank("iron", documents, return_documents=True)
    scores = encoder.score("iron", documents)
    assert [one["corpus_id"] for one in found] == sorted(
        range(4), key=lambda place: (-scores[place], place)
    )
    assert [one["score"] for one in found] == sorted(map(float, scores), reverse=True)
    assert [one["text"] for one in found] == [documents[one["corpus_id"]] for one in found]
    assert encoder.rank("iron", documents, 2) == [
        {"corpus_id": one["corpus_id"], "score": one["score"]} for one in found[:2]
    ]


def test_the_shape_is_that_of_sentence_transformers(encoder):
    assert isinstance(encoder.predict(("iron", "iron")), float)
    assert isinstance(encoder.predict([["iron", "iron"]]), np.ndarray)
    assert list(encoder.rank("iron", ["iron"])[0]) == ["corpus_id", "score"]


@pytest.mark.parametrize("cut", ["document", "longest"])
def test_pairs_become_the_rows_that_hugging_face_makes(module, cut):
    """Its `only_second`, where that leaves the document a token, and its `longest_first`."""
    tokenizer, room = module.tokenizer, 14
    strategy = "only_second" if cut == "document" else "longest_first"
    lengths = {
        word: len(tokenizer.encode_batch([word], special_tokens=False).ids) for word in WORDS
    }
    pairs = [(a, b) for a, b in PAIRS if lengths[a] + 5 < room]
    assert len(pairs) >= 4 * len(WORDS)
    ragged, truncated = Pairing.of(tokenizer, room, cut=cut).rows(pairs)
    wanted = tokenizer.encode_pairs(
        [a for a, _ in pairs], [b for _, b in pairs], max_tokens=room, strategy=strategy
    )
    assert ragged.ids.tolist() == wanted.ids.tolist()
    assert ragged.starts.tolist() == wanted.starts.tolist()
    assert ragged.types.tolist() == wanted.type_ids.tolist()
    assert set(truncated) == set(wanted.truncated)


def test_every_length_of_both_texts_fits_and_the_document_goes_first():
    lengths = np.arange(9)
    query, document = (grid.ravel() for grid in np.meshgrid(lengths, lengths, indexing="ij"))
    for room in (2, 3, 5, 16):
        for cut in ("document", "longest"):
            first, second = kept(query, document, room, cut=cut)
            assert (first + second == np.minimum(query + document, room)).all()
            assert (first <= query).all()
            assert (second <= document).all()
            if cut == "document":
                whole = (first == query) | (second == np.minimum(document, 1))
                assert whole.all()
            else:
                cut_more = (first < query) & (second < document)
                assert (np.abs(first - second)[cut_more] <= 1).all()


def test_the_frame_is_read_off_any_template():
    roberta = json.dumps(
        {
            "version": "1.0",
            "added_tokens": [],
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {
                "type": "RobertaProcessing",
                "sep": ["</s>", 2],
                "cls": ["<s>", 0],
                "trim_offsets": True,
                "add_prefix_space": False,
            },
            "model": {
                "type": "WordLevel",
                "vocab": {"<s>": 0, "<unk>": 1, "</s>": 2, "a": 3},
                "unk_token": "<unk>",
            },
        }
    )
    frame = Frame.of(Tokenizer.from_json(roberta))
    assert [token for token, _ in frame.before] == [0]
    assert [token for token, _ in frame.between] == [2, 2]
    assert [token for token, _ in frame.after] == [2]
    assert frame.query_type == frame.document_type == 0


def test_cut_is_counted_and_chosen(folder, caplog):
    encoder = CrossEncoder.load(folder, threads=1)
    long = " ".join(["iron"] * 40)
    encoder.predict([("iron", "iron"), ("iron", long), (long, long)])
    assert encoder.truncated == 2
    assert "lose an end" in caplog.text
    other = CrossEncoder.load(folder, threads=1, cut="longest")
    asked = (long, "north south north south north south")
    assert other.predict(asked) != encoder.predict(asked)


def test_it_survives_pickling_and_knows_itself(encoder):
    again = pickle.loads(pickle.dumps(encoder))
    assert again.fingerprint == encoder.fingerprint
    assert again.predict(PAIRS[0]) == encoder.predict(PAIRS[0])
    assert "max_tokens=24" in repr(again)


def test_verify_recomputes_the_golden_scores(folder):
    report = verify(folder)
    assert report.ok
    assert report.texts == 30
    artifact = Artifact.load(folder)
    assert artifact.manifest.kind == "cross-encoder"
    assert set(artifact.manifest.deviations) == {"traced", "fused", "batched", "sealed"}


def test_either_class_refuses_the_other_kind_and_names_the_right_one(folder, tiny_artifact):
    with pytest.raises(ValueError, match=r"'cross-encoder', not 'encoder'.*encode\.CrossEncoder"):
        Encoder.load(folder)
    with pytest.raises(ValueError, match=r"'encoder', not 'cross-encoder'.*encode\.Encoder"):
        CrossEncoder.load(tiny_artifact)


def test_the_kind_is_part_of_what_is_sealed(folder):
    body = json.loads((folder / MANIFEST).read_text())
    assert (body["kind"], body["similarity"], body["dim"]) == ("cross-encoder", "score", 1)


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ("iron", TypeError, "sequence of"),
        ([("iron", "iron"), ("iron", 3)], TypeError, r"pairs\[1\]"),
        ([("iron",)], TypeError, r"pairs\[0\]"),
        (["iron", 3], TypeError, r"pairs\[0\]"),
        (7, TypeError, "got int"),
    ],
)
def test_what_is_no_pair_is_named(encoder, asked, error, said):
    with pytest.raises(error, match=said):
        encoder.predict(asked)


def test_bad_arguments_say_what_was_wanted(encoder, folder):
    with pytest.raises(ValueError, match="'none' or 'sigmoid'"):
        encoder.predict(PAIRS, activation="softmax")
    with pytest.raises(ValueError, match="batch_tokens is 0"):
        encoder.predict(PAIRS, batch_tokens=0)
    with pytest.raises(ValueError, match="top_k is 0"):
        encoder.rank("iron", WORDS, 0)
    with pytest.raises(TypeError, match="single str"):
        encoder.rank("iron", "iron")
    with pytest.raises(ValueError, match="2 queries and 1 items"):
        encoder.pairs(["iron", "iron"], ["iron"])
    with pytest.raises(ValueError, match="'document' or 'longest'"):
        CrossEncoder.load(folder, cut="query")
