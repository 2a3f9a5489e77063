"""A quantized graph is chosen by what was measured of it, and is what `Encoder.load` then runs."""

import importlib
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from magnetite import FormatError, learn
from magnetite.encode import Artifact, Encoder, verify
from magnetite.encode.artifact import MANIFEST, QUANTIZED, _dump
from magnetite.encode.quantization import (
    LEAST_COSINE,
    LEAST_SPEED,
    MOST_APART,
    MOST_LOSS,
    Figures,
    choose,
)
from magnetite.evaluate import Beir, Corpus
from magnetite.learn.export import graph, int8, quantize

making = importlib.import_module("magnetite.learn.export.quantize")

WORDS = ["iron", "magnet", "the", "of", "ore", "steel", "rust", "needle", "north", "pole", "a", "x"]
TEXTS = [" ".join(WORDS[(n * k + k) % 12] for k in range(1 + n % 9)) for n in range(48)]
ROUGH = 0.9
GOOD = Figures(name="good", speed=1.5, apart=0.0, cosine=0.99, mean_cosine=0.995)


@pytest.fixture(scope="module")
def judged() -> Beir:
    """One document, which every query finds, however its encoder rounds."""
    corpus = Corpus(["d"], [""], ["the iron ore"])
    queries = {"a": "iron", "b": "ore"}
    return Beir("tiny", "test", corpus, queries, {one: {"d": 1} for one in queries})


@pytest.fixture(scope="module")
def quantized(tiny_artifact, judged, tmp_path_factory) -> Artifact:
    """The tiny encoder with the graph of bytes, whatever its speed; not to be changed."""
    out = tmp_path_factory.mktemp("quantized") / "out"
    source = Artifact.load(tiny_artifact)
    with pytest.MonkeyPatch.context() as patch:  # 32 random dimensions bear rounding less than 384
        patch.setattr("magnetite.encode.quantization.LEAST_COSINE", ROUGH)
        return quantize(source, out, name="int8", texts=TEXTS, judged=judged, threads=1)


def never(name: str) -> float:
    raise AssertionError(f"{name} was judged")


def test_the_fastest_that_passes_is_chosen_and_slower_ones_are_not_judged():
    asked = []
    found = [replace(GOOD, name=f"x{speed}", speed=speed) for speed in (1.1, 1.9, 1.4, 1.6)]

    def judge(name: str) -> float:
        asked.append(name)
        return 0.1 if name == "x1.9" else 0.001

    chosen, figures = choose(found, judge)
    assert chosen == "x1.6"
    assert asked == ["x1.9", "x1.6"]
    assert [one.name for one in figures] == ["x1.9", "x1.6", "x1.4", "x1.1"]
    assert [one.loss for one in figures] == [0.1, 0.001, None, None]
    assert figures[0].verdict == "loses more than 0.005 of nDCG@10"
    assert figures[1].verdict == "chosen"
    assert figures[2].verdict == "slower than the chosen one"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"speed": LEAST_SPEED - 0.01}, "the speed of fp32"),
        ({"apart": MOST_APART * 1.01}, "a batch moves a coordinate"),
        ({"cosine": LEAST_COSINE - 1e-4}, "a cosine to fp32"),
        ({"apart": math.nan}, "a batch moves"),
        ({"cosine": math.nan}, "a cosine"),
    ],
)
def test_a_graph_that_fails_a_bound_is_refused_without_being_judged(change, why):
    chosen, [figures] = choose([replace(GOOD, **change)], never)
    assert chosen is None
    assert why in figures.verdict


@pytest.mark.parametrize("loss", [MOST_LOSS + 1e-6, math.nan])
def test_a_graph_that_loses_quality_is_refused(loss):
    chosen, [figures] = choose([GOOD], lambda _: loss)
    assert chosen is None
    assert "nDCG@10" in figures.verdict


def test_bounds_themselves_pass():
    at = replace(GOOD, speed=LEAST_SPEED, apart=MOST_APART, cosine=LEAST_COSINE)
    assert choose([at], lambda _: MOST_LOSS)[0] == "good"


def test_a_texts_vector_is_the_same_alone_and_in_any_batch(quantized):
    encoder = Encoder(quantized)
    alone = np.stack([encoder.encode(text) for text in TEXTS])
    for rows in (slice(None), slice(None, None, -3), slice(5, 9)):
        np.testing.assert_allclose(encoder.encode(TEXTS[rows]), alone[rows], atol=1e-6)
    tokens = encoder.tokenize(TEXTS)
    np.testing.assert_allclose(encoder.encode_ids(tokens.ids, tokens.starts), alone, atol=1e-6)


def test_the_chosen_graph_is_what_runs(quantized, tiny_artifact):
    fp32 = Encoder.load(tiny_artifact).encode(TEXTS)
    bytes_ = Encoder.load(quantized.directory).encode(TEXTS)
    assert 1e-5 < np.abs(bytes_ - fp32).max() < 0.3
    assert (bytes_ * fp32).sum(1).min() > ROUGH
    kinds = [one.op_type for one in onnx.load(quantized.graph, load_external_data=False).graph.node]
    assert kinds.count("QAttention") == 2
    assert kinds.count("MatMulIntegerToFloat") == 6
    assert "Attention" not in kinds


def test_the_manifest_holds_the_figures_and_the_fingerprint_covers_the_graph(
    quantized, tiny_artifact
):
    said = json.loads((quantized.directory / MANIFEST).read_bytes())
    assert said["version"] == 2
    assert QUANTIZED in said["files"]
    assert said["quantization"]["chosen"] == "int8"
    assert said["quantization"]["judged"] == "tiny/test"
    assert said["quantization"]["cpu"]
    [one] = said["quantization"]["candidates"]
    assert one["speed"] > 0
    assert one["apart"] <= MOST_APART
    assert one["loss"] == 0
    assert one["verdict"] == "chosen"
    fp32 = Artifact.load(tiny_artifact)
    assert json.loads((tiny_artifact / MANIFEST).read_bytes())["version"] == 1
    assert quantized.fingerprint != fp32.fingerprint
    assert quantized.model_fingerprint != fp32.model_fingerprint
    assert Artifact.load(quantized.directory) == quantized


def test_verify_runs_both_graphs_and_shows_the_table(quantized):
    report = verify(quantized.directory)
    assert report.ok
    assert report.deviation["onnx"] < 1e-5
    assert ROUGH - 0.1 < report.golden_cosine < 1
    assert "runs int8" in str(report)
    table = str(report).splitlines()
    assert table[-2].split() == ["fp32", "1.00"]
    assert table[-1].split()[0] == "int8"
    assert table[-1].endswith("chosen")
    assert report.fingerprint == quantized.fingerprint


def test_verify_refuses_a_quantized_graph_that_strays(quantized):
    report = verify(quantized.directory)
    strayed = replace(report, golden_cosine=report.golden_cosine - 0.01)
    assert not strayed.ok
    assert "NOT the vectors" in str(strayed)


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_missing_or_changed_quantized_graph_is_named(quantized, tmp_path, damage):
    copy = Path(shutil.copytree(quantized.directory, tmp_path / "copy"))
    path = copy / QUANTIZED
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    if damage == "changed":
        path.write_bytes(content)
    with pytest.raises(FormatError, match=f"{QUANTIZED} is {damage}"):
        Encoder.load(copy)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 1},
        {"quantization": {"chosen": None}},
        {"quantization": {"chosen": 3}},
        {"quantization": []},
        {"engine": "static"},
    ],
)
def test_a_manifest_at_odds_with_its_graph_is_refused(quantized, tmp_path, changes):
    copy = Path(shutil.copytree(quantized.directory, tmp_path / "copy"))
    body = json.loads((copy / MANIFEST).read_bytes())
    del body["checksum"]
    (copy / MANIFEST).write_bytes(_dump(body | changes))
    with pytest.raises(FormatError, match=MANIFEST):
        Artifact.load(copy)


def test_weights_stay_whole_for_training(quantized, tiny_tower):
    back = learn.load(quantized.directory)
    for name, weight in tiny_tower.state_dict().items():
        np.testing.assert_array_equal(back.state_dict()[name], weight)


def test_every_candidate_is_measured_and_a_slower_one_is_not_chosen(
    tiny_artifact, judged, tmp_path, monkeypatch
):
    """The real measurement, its clock aside: all of them are said to take twice as long."""
    real = making.race

    def slow(sessions, batches):
        seconds = real(sessions, batches)
        return {name: [2.0 if name else 1.0 for _ in one] for name, one in seconds.items()}

    monkeypatch.setattr(making, "race", slow)
    monkeypatch.setattr(making, "_ndcg", never)
    source = Artifact.load(tiny_artifact)
    out = quantize(source, tmp_path / "out", texts=TEXTS, judged=judged, threads=1)
    said = out.manifest.quantization
    assert said["chosen"] is None
    assert {one["name"] for one in said["candidates"]} == set(making.CANDIDATES)
    assert {one["speed"] for one in said["candidates"]} == {0.5}
    assert all("the speed of fp32" in one["verdict"] for one in said["candidates"])
    assert all(one["cosine"] > 0.5 for one in said["candidates"])
    assert not (out.directory / QUANTIZED).exists()
    assert out.fingerprint == source.fingerprint
    np.testing.assert_array_equal(
        Encoder.load(out.directory).encode(TEXTS), Encoder(source).encode(TEXTS)
    )
    assert "kept" in str(verify(out.directory))


def test_a_named_graph_that_loses_quality_is_refused_and_nothing_is_written(
    tiny_artifact, judged, tmp_path, monkeypatch
):
    monkeypatch.setattr("magnetite.encode.quantization.LEAST_COSINE", ROUGH)
    scores = iter([0.9, 0.8])
    monkeypatch.setattr(making, "_ndcg", lambda *_: next(scores))
    with pytest.raises(ValueError, match=r"worst loses more than 0\.005 of nDCG@10; nothing was"):
        quantize(
            Artifact.load(tiny_artifact),
            tmp_path / "out",
            name="int8-but-worst",
            texts=TEXTS,
            judged=judged,
        )
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_quantized_says_why(
    tiny_artifact, tiny_static_artifact, quantized, judged, tmp_path
):
    def refused(source: Path, **asked: object) -> str:
        with pytest.raises(ValueError, match=r".") as error:
            quantize(Artifact.load(source), tmp_path / "out", **{"judged": judged, **asked})
        assert list(tmp_path.iterdir()) == []
        return str(error.value)

    assert "only an onnx encoder" in refused(tiny_static_artifact)
    assert "quantized already (int8)" in refused(quantized.directory)
    assert "there are int8, " in refused(tiny_artifact, name="int3")
    assert "11 texts that are not blank; at least 12" in refused(
        tiny_artifact, texts=[*["iron"] * 11, " "]
    )
    with pytest.raises(FileExistsError, match="written once"):
        quantize(Artifact.load(tiny_artifact), tiny_artifact)


def test_rounding_is_within_half_a_step_of_every_input_and_weight():
    """The bytes, times their scales, are what they stand for; wide columns are divided down."""
    draw = np.random.default_rng(0)
    weight = draw.normal(size=(24, 7))
    rows = draw.normal(size=(500, 24)) * np.where(np.arange(24) == 3, 30, 1)
    nothing = np.zeros(24)
    seen = int8.Seen(nothing, nothing, nothing)
    seen.add(rows)
    how = int8.rounding(weight, seen)
    assert how.divisors[3] > 1
    assert np.all(how.divisors >= 1)
    back = how.weight * how.scales / how.divisors[:, None]
    assert np.all(np.abs(back - weight) <= how.scales / 2 * 1.001 / how.divisors[:, None])
    assert np.abs(how.weight).max() <= int8.PEAK
    steps = np.rint(rows / how.divisors / how.scale) + how.zero
    assert steps.min() >= -1
    assert steps.max() <= 256  # a zero point is rounded, too: the outermost may lose a step
    given = (np.clip(steps, 0, 255) - how.zero) * how.scale * how.divisors
    got, wanted = given @ back, rows @ weight
    measured = ((got - wanted) ** 2).sum() / (wanted**2).sum()
    assert measured == pytest.approx(how.error, rel=0.3)
    plain = int8._rounding(weight, seen, np.ones(24))
    assert how.error < plain.error / 2


def test_kept_constants_stay_in_the_shared_file(quantized):
    spans = graph.tensor_spans(quantized.directory / "model.safetensors")
    stored = onnx.load(quantized.graph, load_external_data=False).graph.initializer
    outside = {one.name for one in stored if one.external_data}
    assert outside
    assert outside <= set(spans)
    read = {
        one.name: numpy_helper.to_array(one) for one in onnx.load(quantized.graph).graph.initializer
    }
    fp32 = onnx.load(quantized.directory / "model.onnx").graph.initializer
    for one in fp32:
        if one.name in outside:
            np.testing.assert_array_equal(read[one.name], numpy_helper.to_array(one))
