"""An artifact is what was sealed, byte for byte, or it is refused by name."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magnetite import FormatError
from magnetite.encode import Artifact, Encoder, verify
from magnetite.encode.artifact import FILES, MANIFEST, MAX_MANIFEST_BYTES, Manifest, _dump
from magnetite.encode.golden import Golden

ALL_FILES = (*FILES, MANIFEST)


@pytest.fixture
def copy(tiny_artifact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_artifact, tmp_path / "copy"))


def reseal(directory: Path, **changes: object) -> None:
    """Write a manifest that says something else, with a checksum that is right."""
    body = json.loads((directory / MANIFEST).read_bytes())
    del body["checksum"]
    (directory / MANIFEST).write_bytes(_dump(body | changes))


def test_an_untouched_copy_is_the_same_encoder(tiny_artifact, copy):
    assert Artifact.load(copy).fingerprint == Artifact.load(tiny_artifact).fingerprint
    assert verify(copy).ok


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(FormatError, match=name):
        Artifact.load(copy)


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_directory_in_a_files_place_is_named(copy, name):
    (copy / name).unlink()
    (copy / name).mkdir()
    with pytest.raises(FormatError, match=name):
        Artifact.load(copy)


@pytest.mark.parametrize("name", ALL_FILES)
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_truncated_file_is_named_as_truncated(copy, name, kept):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(FormatError, match=f"{name} is truncated"):
        Artifact.load(copy)


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_longer_file_is_named(copy, name):
    with (copy / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(FormatError, match=f"{name} (is|was) changed"):
        Artifact.load(copy)


@pytest.mark.parametrize("name", ALL_FILES)
def test_any_flipped_bit_is_refused(tiny_artifact, tmp_path_factory, name):
    copy = Path(shutil.copytree(tiny_artifact, tmp_path_factory.mktemp("flips") / "copy"))
    sealed = (copy / name).read_bytes()

    @given(place=st.integers(0, len(sealed) - 1), bit=st.integers(0, 7))
    @settings(deadline=None, max_examples=300)
    def refuses(place, bit):
        flipped = bytearray(sealed)
        flipped[place] ^= 1 << bit
        (copy / name).write_bytes(flipped)
        with pytest.raises(FormatError, match=name):
            Artifact.load(copy)

    refuses()


def test_an_oversized_manifest_is_refused_unread(copy):
    with (copy / MANIFEST).open("r+b") as file:
        file.truncate(MAX_MANIFEST_BYTES + 1)
    with pytest.raises(FormatError, match=f"has {MAX_MANIFEST_BYTES + 1} bytes"):
        Artifact.load(copy)


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b"null", b"{}", b'"magnetite artifact"', b"\xff\xfe", b"9" * 5000, b"NaN"],
)
def test_json_that_is_no_manifest_is_refused(copy, content):
    (copy / MANIFEST).write_bytes(content)
    with pytest.raises(FormatError, match=MANIFEST):
        Artifact.load(copy)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "cross-encoder"},
        {"engine": "tensorrt"},
        {"dim": 0},
        {"dim": True},
        {"dim": "384"},
        {"max_tokens": -1},
        {"similarity": "manhattan"},
        {"normalized": 1},
        {"prompts": {"query": 1}},
        {"prompts": ["query"]},
        {"default_prompt": "absent"},
        {"files": {}},
        {"files": {"../../etc/passwd": {"bytes": 1, "sha256": ""}}},
        {"files": None},
        {"fingerprint": "0" * 64},
    ],
)
def test_a_manifest_that_cannot_be_is_refused_though_its_checksum_is_right(copy, changes):
    reseal(copy, **changes)
    with pytest.raises(FormatError, match=MANIFEST):
        Artifact.load(copy)


def test_another_version_says_what_to_do(copy):
    reseal(copy, version=3)
    said = "format version 3; this magnetite reads 1 and 2; upgrade"
    with pytest.raises(FormatError, match=said):
        Artifact.load(copy)


def test_a_directory_that_is_not_an_artifact_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(FormatError, match=r"is not an artifact: it has no artifact.json"):
        Encoder.load(tmp_path)
    (tmp_path / "modules.json").write_text("[]")
    with pytest.raises(FormatError, match=f"magnetite export {tmp_path} -o DIR"):
        Encoder.load(tmp_path)


def test_no_directory_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        Encoder.load(tmp_path / "absent")


def test_a_file_in_the_directorys_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match="not an artifact"):
        Encoder.load(tmp_path / "file")


MANIFEST_OF_NOTHING = Manifest(
    engine="onnx", dim=1, max_tokens=1, pooling=[], similarity="cosine", normalized=False
)


def write_nothing(folder: Path) -> Manifest:
    for name in FILES:
        (folder / name).write_bytes(name.encode())
    return MANIFEST_OF_NOTHING


def test_sealing_never_writes_over_anything(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(FileExistsError, match="written once"):
        Artifact.seal(tmp_path / "out", write_nothing)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]


def test_sealing_into_an_empty_or_a_new_directory_gives_the_same_bytes(tmp_path):
    (tmp_path / "empty").mkdir()
    first = Artifact.seal(tmp_path / "empty", write_nothing)
    second = Artifact.seal(tmp_path / "new" / "deep", write_nothing)
    assert first.fingerprint == second.fingerprint
    manifests = [(one.directory / MANIFEST).read_bytes() for one in (first, second)]
    assert manifests[0] == manifests[1]
    assert Artifact.load(tmp_path / "empty") == first


def test_a_failure_while_writing_leaves_nothing_behind(tmp_path):
    def fail(folder: Path) -> Manifest:
        write_nothing(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        Artifact.seal(tmp_path / "out", fail)
    assert list(tmp_path.iterdir()) == []


def test_being_killed_while_writing_leaves_no_artifact(tmp_path):
    script = (
        "import os, signal, sys; from magnetite.encode import Artifact\n"
        "def write(folder):\n"
        "    (folder / 'model.onnx').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Artifact.seal(sys.argv[1], write)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "out"], check=False)
    assert done.returncode == -9
    assert not (tmp_path / "out").exists()


def test_the_fingerprint_names_what_decides_a_vector_and_nothing_else(tmp_path):
    def sealed(name: str, **changes: object) -> str:
        def write(folder: Path) -> Manifest:
            write_nothing(folder)
            return replace(MANIFEST_OF_NOTHING, **changes)

        return Artifact.seal(tmp_path / name, write).fingerprint

    plain = sealed("plain")
    assert sealed("origin", provenance={"source": "elsewhere"}) == plain
    assert sealed("cut", max_tokens=2) != plain
    assert sealed("prompted", prompts={"query": "q: "}) != plain


@given(st.lists(st.text(), max_size=4), st.integers(1, 3))
@settings(deadline=None, max_examples=50)
def test_golden_rows_come_back_as_they_were(tmp_path_factory, texts, dim):
    path = tmp_path_factory.mktemp("golden") / "golden.safetensors"
    vectors = np.arange(len(texts) * dim, dtype=np.float32).reshape(len(texts), dim)
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    Golden(texts, vectors).write(path)
    back = Golden.read(path, dim)
    assert back.texts == texts
    np.testing.assert_array_equal(back.vectors, vectors)


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=300)
def test_golden_files_of_any_bytes_are_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("golden") / "golden.safetensors"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"golden\.safetensors"):
        Golden.read(path, 4)


def test_a_changed_golden_vector_fails_verification(copy):
    golden = Golden.read(copy / "golden.safetensors", 32)
    golden.vectors[3, 5] += 1e-3
    golden.write(copy / "golden.safetensors")
    content = (copy / "golden.safetensors").read_bytes()
    body = json.loads((copy / MANIFEST).read_bytes())
    body["files"]["golden.safetensors"] = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    reseal(copy, files=body["files"])
    report = verify(copy)
    assert not report.ok
    assert report.deviation["onnx"] == pytest.approx(1e-3, rel=0.01)
    assert "NOT the vectors" in str(report)
