"""Text in, vectors out: the shapes, the prompts, and that company never changes a vector."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magnetite.encode import Encoder, engines, verify
from magnetite.learn.export.golden_texts import TEXTS

ENGINES = ["tiny_artifact", "tiny_static_artifact"]


@pytest.fixture(scope="module", params=ENGINES)
def encoder(request) -> Encoder:
    return Encoder.load(request.getfixturevalue(request.param), threads=2)


@pytest.fixture(scope="module")
def onnx(tiny_artifact) -> Encoder:
    return Encoder.load(tiny_artifact)


def test_a_single_string_gives_one_vector(encoder):
    one, many = encoder.encode("iron"), encoder.encode(["iron"])
    assert one.shape == (encoder.dim,)
    assert many.shape == (1, encoder.dim)
    assert one.dtype == many.dtype == np.float32
    np.testing.assert_array_equal(one, many[0])


def test_an_empty_list_gives_no_rows(encoder):
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_any_sequence_of_strings_will_do(encoder):
    wanted = encoder.encode(["iron", "magnet"])
    for texts in (("iron", "magnet"), np.array(["iron", "magnet"]), {"iron": 0, "magnet": 1}):
        np.testing.assert_array_equal(encoder.encode(texts), wanted)


def test_an_empty_string_is_a_text(encoder):
    vector = encoder.encode("")
    assert np.isfinite(vector).all()


def test_a_text_without_tokens_is_zeros_in_a_static_encoder(tiny_static_artifact):
    vectors = Encoder.load(tiny_static_artifact).encode(["", "iron", "  \n"])
    np.testing.assert_array_equal(np.linalg.norm(vectors, axis=1).round(5), [0, 1, 0])


def test_a_megabyte_of_text_is_cut_like_any_other(encoder):
    long = "iron " * 200_000
    np.testing.assert_allclose(encoder.encode(long), encoder.encode(long[:1000]), atol=1e-6)


def test_a_lone_surrogate_counts_as_the_replacement_character(encoder):
    np.testing.assert_array_equal(encoder.encode("a\ud800b"), encoder.encode("a\ufffdb"))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["iron", 3], r"texts\[1\] must be a str; got int"),
        (["iron", None], r"texts\[1\] must be a str; got NoneType"),
        ([b"iron"], r"texts\[0\] must be a str; got bytes"),
        (b"iron", "got bytes; decode it"),
        (3, "must be a str or a sequence of str; got int"),
        (None, "must be a str or a sequence of str; got NoneType"),
    ],
)
def test_what_is_not_text_is_a_type_error_that_names_it(encoder, texts, said):
    with pytest.raises(TypeError, match=said):
        encoder.encode(texts)


def test_no_budget_is_refused(encoder):
    with pytest.raises(ValueError, match="batch_tokens is 0; wanted at least 1"):
        encoder.encode(["iron"], batch_tokens=0)


def test_normalise_none_true_false_on_a_graph_that_normalises(encoder):
    as_exported = encoder.encode(["iron", "magnet"])
    np.testing.assert_allclose(np.linalg.norm(as_exported, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(encoder.encode(["iron", "magnet"], normalize=True), as_exported)
    with pytest.raises(ValueError, match="normalize=False, but"):
        encoder.encode("iron", normalize=False)


def test_prompts_go_before_the_text(onnx):
    np.testing.assert_array_equal(
        onnx.encode("iron", prompt_name="query"), onnx.encode("query: iron")
    )
    np.testing.assert_array_equal(onnx.encode_query("iron"), onnx.encode("query: iron"))
    np.testing.assert_array_equal(onnx.encode_document(["iron"]), onnx.encode(["the iron"]))
    assert onnx.prompts == {"query": "query: ", "passage": "the "}


def test_an_unknown_prompt_is_refused_with_those_there_are(onnx):
    with pytest.raises(ValueError, match=r"no prompt is named 'task'; .* \['passage', 'query'\]"):
        onnx.encode("iron", prompt_name="task")


def test_queries_and_documents_without_prompts_are_plain_texts(tiny_static_artifact):
    encoder = Encoder.load(tiny_static_artifact)
    np.testing.assert_array_equal(encoder.encode_query("iron"), encoder.encode("iron"))
    np.testing.assert_array_equal(encoder.encode_document("iron"), encoder.encode("iron"))


def test_cut_texts_are_counted_and_logged_once(tiny_artifact, caplog):
    encoder = Encoder.load(tiny_artifact)
    long = "x" * 50
    with caplog.at_level(logging.WARNING, logger="magnetite"):
        encoder.encode(["iron", long[:46]])
        assert (encoder.truncated, caplog.messages) == (0, [])
        encoder.encode([long, "iron", long])
        encoder.encode([long])
    assert encoder.truncated == 3
    assert len(caplog.messages) == 1
    assert "texts over 48 tokens lose their end, 2 of them so far" in caplog.messages[0]
    np.testing.assert_array_equal(encoder.tokenize(["iron", long]).truncated, [1])


def test_progress_is_shown_when_asked_for(encoder, capfd):
    encoder.encode(["iron"] * 10, show_progress=False)
    assert capfd.readouterr().err == ""
    encoder.encode(["iron"] * 10, show_progress=True)
    assert "10/10" in capfd.readouterr().err


@given(
    texts=st.lists(st.text(max_size=120), min_size=1, max_size=12),
    batch_tokens=st.integers(1, 600),
    data=st.data(),
)
@settings(deadline=None, max_examples=60)
def test_company_order_and_budget_never_change_a_vector(encoder, texts, batch_tokens, data):
    order = data.draw(st.permutations(range(len(texts))))
    alone = np.stack([encoder.encode(text) for text in texts])
    together = encoder.encode([texts[i] for i in order], batch_tokens=batch_tokens)
    np.testing.assert_allclose(together, alone[order], atol=1e-6, rtol=0)


def test_many_texts_are_batches_of_one_thread_each_and_few_are_shared(tiny_artifact):
    few, many = ["iron"], [f"the magnet of iron {'x' * (i % 30)}" for i in range(200)]
    encoder = Encoder.load(tiny_artifact, threads=2)
    shared = Encoder.load(tiny_artifact, threads=1).encode(many)
    encoder.encode(few)
    assert encoder.engine.apart._opened is None
    np.testing.assert_allclose(encoder.encode(many), shared, atol=1e-6, rtol=0)
    assert encoder.engine.apart._opened is not None


def test_windows_follow_each_other_whatever_their_size(tiny_artifact, monkeypatch):
    texts = [f"magnet {'x' * (i % 40)}" for i in range(300)]
    encoder = Encoder.load(tiny_artifact, threads=2)
    wanted = encoder.encode(texts)
    for most in (1, 7, 64, 299):
        monkeypatch.setattr(engines, "WINDOW_TEXTS", most)
        np.testing.assert_allclose(encoder.encode(texts), wanted, atol=1e-6, rtol=0)
    monkeypatch.setattr(engines, "WINDOW_CHARS", 100)
    np.testing.assert_allclose(encoder.encode(texts), wanted, atol=1e-6, rtol=0)


def test_what_fails_in_a_batch_is_raised_and_the_next_call_works(tiny_artifact, monkeypatch):
    texts = [f"magnet {'x' * (i % 40)}" for i in range(300)]
    encoder = Encoder.load(tiny_artifact, threads=2)
    wanted = encoder.encode(texts)

    def fails(batch, vectors):
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(engines.Batch, "keep", fails)
        with pytest.raises(MemoryError, match="no room"):
            encoder.encode(texts)
    np.testing.assert_array_equal(encoder.encode(texts), wanted)


def test_more_texts_than_a_window_keep_their_order(tiny_static_artifact):
    encoder = Encoder.load(tiny_static_artifact)
    words = ["iron", "magnet", "of", "the", "ü"]
    few = encoder.encode(words)
    many = encoder.encode([words[i % 5] for i in range(70_001)])
    np.testing.assert_allclose(many, few[np.arange(70_001) % 5], atol=1e-6)


def test_ids_that_were_made_before_give_the_vectors_of_their_texts(encoder):
    texts = [*TEXTS, *(f"the magnet of iron {i}" for i in range(90))]
    tokens = encoder.tokenize(texts)
    got = encoder.encode_ids(tokens.ids, tokens.starts)
    np.testing.assert_allclose(got, encoder.encode(texts), atol=1e-6, rtol=0)
    beside = encoder.encode_ids(tokens.ids, tokens.starts, beside=True)
    np.testing.assert_allclose(beside, got, atol=1e-6, rtol=0)
    assert encoder.encode_ids(np.array([], np.int32), np.array([0])).shape == (0, encoder.dim)


def test_both_engines_of_a_static_artifact_agree_on_the_golden_texts(tiny_static_artifact):
    report = verify(tiny_static_artifact, threads=1)
    assert set(report.deviation) == {"static", "onnx"}
    assert max(report.deviation.values()) <= 1e-6
    assert report.texts == len(TEXTS)


def test_threads_are_resolved_once_for_tokenizer_and_engine(tiny_artifact, monkeypatch):
    monkeypatch.setenv("MAGNETITE_NUM_THREADS", "3")
    assert Encoder.load(tiny_artifact).threads == 3
    encoder = Encoder.load(tiny_artifact, threads=1)
    options = encoder.engine.together.open().get_session_options()
    assert (encoder.threads, options.intra_op_num_threads, options.inter_op_num_threads) == (
        1,
        1,
        1,
    )
    with pytest.raises(ValueError, match="threads"):
        Encoder.load(tiny_artifact, threads=0)


def test_the_numbers_of_threads_gives_the_same_vectors(tiny_artifact):
    one, two = (Encoder.load(tiny_artifact, threads=threads) for threads in (1, 2))
    np.testing.assert_allclose(one.encode(TEXTS), two.encode(TEXTS), atol=1e-6)
