"""Artifacts of earlier versions stay readable, and give the vectors they were sealed with."""

from pathlib import Path

import pytest

from magnetite import learn
from magnetite.encode import Artifact, Encoder, verify

GOLDEN = Path(__file__).parents[2] / "golden"
FINGERPRINTS = {  # sealed from random weights with onnxruntime 1.32 and torch 2.15
    "artifact-v1/onnx": "1f9a130723547d481c75004187a5a283dc6b2da8b0ddd405cd0d8c0103c1c6bc",
    "artifact-v1/static": "47651eef45ddd7046c6588da8346c900107154e2a2dbda1ae2bdbdb107c0654e",
}


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_a_sealed_artifact_of_an_earlier_version_is_verified(name):
    report = verify(GOLDEN / name)
    assert report.ok, str(report)
    assert report.fingerprint == FINGERPRINTS[name]


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_it_can_be_trained_on(name):
    assert learn.load(GOLDEN / name).dim == 16


def test_the_built_in_encoder_is_verified_on_this_machine():
    report = verify()
    assert report.ok, str(report)
    assert set(report.deviation) == {"static", "onnx"}


def test_the_built_in_encoder_is_what_load_gives():
    encoder = Encoder.load()
    assert encoder.fingerprint == Artifact.load(encoder.artifact.directory).fingerprint
    near = encoder.encode(
        ["a dog runs in the park", "a puppy plays outside", "interest rates rose"]
    )
    assert near[0] @ near[1] > near[0] @ near[2]
