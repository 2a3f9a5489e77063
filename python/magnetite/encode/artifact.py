"""A sealed encoder or cross-encoder: one directory, checked byte for byte when it is opened."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from magnetite._core import FormatError

FORMAT = "magnetite artifact"
ENCODER, CROSS_ENCODER = "encoder", "cross-encoder"
KINDS = {ENCODER: "Encoder", CROSS_ENCODER: "CrossEncoder"}
"""What an artifact may be, and the class that loads it."""
VERSIONS = (1, 2)
"""Of the directory; 2 says that there is a quantized graph, which older readers do not know."""

MANIFEST = "artifact.json"
MODEL = "model.onnx"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
GOLDEN = "golden.safetensors"
QUANTIZED = "quantized.onnx"
"""There if a quantized graph was chosen; it refers to the same weights where it keeps them."""

FILES = (GOLDEN, MODEL, WEIGHTS, TOKENIZER)
"""Beside the manifest; the graph refers to its weights, which are stored once."""

ENGINES = ("onnx", "static")
SIMILARITIES = ("cosine", "dot", "l2")
SCORE = "score"
MAX_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What artifact.json says about an encoder, apart from the hashes of its files.

    A cross-encoder's `dim` is 1, a score; nothing pools it, and its `similarity` is `score`.
    """

    kind: str = ENCODER
    engine: str
    """`onnx`: ONNX Runtime runs model.onnx. `static`: the Rust engine reads model.safetensors."""
    dim: int
    max_tokens: int
    """Tokens kept of a text, special tokens included."""
    pooling: list[str]
    similarity: str
    normalized: bool
    """Whether vectors leave the graph with length one."""
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    deviations: dict[str, float] = field(default_factory=dict)
    """Largest difference per coordinate that each step of the export caused."""
    provenance: dict[str, Any] = field(default_factory=dict)
    module: dict[str, Any] = field(default_factory=dict)
    """What `magnetite.learn.load` needs to build the trainable module again."""
    quantization: dict[str, Any] = field(default_factory=dict)
    """What `magnetite export --quantize` measured, and what it chose; empty if nobody asked."""

    def __post_init__(self) -> None:
        """Refuse what no encoder can be; the message is a sentence without the file's name."""
        for one in fields(self):
            value, wanted = getattr(self, one.name), _TYPES[one.name]
            if not isinstance(value, wanted) or isinstance(value, bool) is not (wanted is bool):
                raise FormatError(f"{one.name} is {value!r}, which is not {_words(wanted)}")
        if self.kind not in KINDS:
            raise FormatError(f"kind is {self.kind!r}, not one of {sorted(KINDS)}")
        if self.engine not in ENGINES:
            raise FormatError(f"engine is {self.engine!r}, not one of {ENGINES}")
        similarities = SIMILARITIES if self.kind == ENCODER else (SCORE,)
        if self.similarity not in similarities:
            raise FormatError(f"similarity is {self.similarity!r}, not one of {similarities}")
        if self.dim < 1 or self.max_tokens < 1:
            raise FormatError(
                f"dim is {self.dim} and max_tokens {self.max_tokens}; both start at 1"
            )
        texts = [*self.pooling, *self.prompts, *self.prompts.values()]
        if not all(isinstance(text, str) for text in texts):
            raise FormatError("pooling and prompts hold something that is not text")
        if self.default_prompt is not None and self.default_prompt not in self.prompts:
            raise FormatError(f"default_prompt {self.default_prompt!r} is not among the prompts")
        if not isinstance(self.quantization.get("chosen"), str | None):
            raise FormatError("quantization has chosen something that is not a name")
        if self.quantized is not None and self.engine != "onnx":
            raise FormatError(f"a quantized graph was chosen, but the engine is {self.engine!r}")

    @property
    def quantized(self) -> str | None:
        """The name of the quantized graph that is run; None for the one that was sealed first."""
        return self.quantization.get("chosen")

    @property
    def version(self) -> int:
        """The oldest version of the format that says all of it."""
        return VERSIONS[self.quantized is not None]

    @property
    def files(self) -> tuple[str, ...]:
        """What lies beside the manifest."""
        return (*FILES, QUANTIZED) if self.quantized else FILES


_TYPES: dict[str, Any] = {
    "kind": str,
    "engine": str,
    "dim": int,
    "max_tokens": int,
    "pooling": list,
    "similarity": str,
    "normalized": bool,
    "prompts": dict,
    "default_prompt": (str, type(None)),
    "deviations": dict,
    "provenance": dict,
    "module": dict,
    "quantization": dict,
}


def _words(wanted: Any) -> str:  # noqa: ANN401 - a type or a tuple of types
    return " or ".join(one.__name__ for one in (wanted if isinstance(wanted, tuple) else (wanted,)))


@dataclass(frozen=True)
class Artifact:
    """A checked artifact: its files were, when it was loaded, the ones that were sealed."""

    directory: Path
    manifest: Manifest
    fingerprint: str
    """Names the encoder: equal fingerprints give equal vectors for equal texts and prompts."""
    model_fingerprint: str
    tokenizer_fingerprint: str

    @classmethod
    def load(cls, directory: str | os.PathLike[str], *, kind: str | None = None) -> "Artifact":
        """Return the artifact in `directory`, every byte of it checked.

        Args:
            directory: What `magnetite export` or `magnetite train` wrote.
            kind: What it must be; `None` for any.

        Raises:
            FileNotFoundError: There is no such directory.
            FormatError: It is not an artifact, of an unknown version, or one of its files is
                missing, truncated or changed; the message names the file and what differs.
            ValueError: It is of another kind.
        """
        directory = Path(directory).absolute()
        manifest, files, fingerprint = _read_manifest(directory)
        if kind is not None and manifest.kind != kind:
            raise ValueError(
                f"{directory} holds the kind {manifest.kind!r}, not {kind!r}; load it with "
                f"magnetite.encode.{KINDS[manifest.kind]}"
            )
        for name in manifest.files:
            _check_file(directory / name, files[name])
        return cls._of(directory, manifest, files, fingerprint)

    @classmethod
    def seal(
        cls,
        out: str | os.PathLike[str],
        write: Callable[[Path], Manifest],
    ) -> "Artifact":
        """Return the artifact of the files that `write` puts into the directory it is given.

        They are written beside `out`, which appears whole, by one rename, or not at all; `write`
        returns what artifact.json shall say about them.

        Raises:
            FileExistsError: `out` exists and is not an empty directory.
        """
        out = free_directory(out)
        partial = out.with_name(f".{out.name}.{secrets.token_hex(6)}.partial")
        partial.mkdir(parents=True)
        try:
            manifest = write(partial)
            files = {name: _measure(partial / name) for name in manifest.files}
            fingerprint = _fingerprint(manifest, files)
            _write_synced(partial / MANIFEST, _dump(_body(manifest, files, fingerprint)))
            _sync(partial)
            if out.exists():
                out.rmdir()
            partial.rename(out)
            _sync(out.parent)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return cls._of(out, manifest, files, fingerprint)

    @classmethod
    def _of(
        cls, directory: Path, manifest: Manifest, files: dict[str, dict[str, Any]], fingerprint: str
    ) -> "Artifact":
        not_model = (GOLDEN, TOKENIZER)
        model = _digest({name: files[name] for name in manifest.files if name not in not_model})
        return cls(directory, manifest, fingerprint, model, files[TOKENIZER]["sha256"])

    @property
    def graph(self) -> Path:
        """What ONNX Runtime runs."""
        return self.directory / (QUANTIZED if self.manifest.quantized else MODEL)


def free_directory(out: str | os.PathLike[str]) -> Path:
    """Return the absolute path of `out`, or refuse it because something is there already."""
    out = Path(out).absolute()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise FileExistsError(
            f"{out} exists, and an artifact is written once; remove it or name another directory"
        )
    return out


def _read_manifest(directory: Path) -> tuple[Manifest, dict[str, dict[str, Any]], str]:
    """Return what artifact.json says, after checking that it was written by `seal`, unedited."""
    path = directory / MANIFEST
    if not directory.exists():
        raise FileNotFoundError(2, "there is no such artifact directory", str(directory))
    if not path.is_file():
        remedy = "point to a directory that `magnetite export` wrote"
        if (directory / "modules.json").is_file() or (directory / "config.json").is_file():
            remedy = f"make one with `magnetite export {directory} -o DIR`"
        raise FormatError(f"{directory} is not an artifact: it has no {MANIFEST}; {remedy}")
    size = path.stat().st_size
    if size > MAX_MANIFEST_BYTES:
        raise FormatError(f"{path} has {size} bytes; at most {MAX_MANIFEST_BYTES} are read")
    raw = path.read_bytes()
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is truncated or changed: not JSON ({error})") from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise FormatError(f"{path} is truncated or changed: it does not say format {FORMAT!r}")
    if body.get("version") not in VERSIONS:
        raise FormatError(
            f"{path} has format version {body.get('version')!r}; this magnetite reads "
            f"{' and '.join(map(str, VERSIONS))}; "
            "upgrade magnetite, or export the model again"
        )
    checksum = body.pop("checksum", None)
    try:
        unedited = checksum == _digest(body) and _dump(body) == raw
    except (ValueError, RecursionError):  # a lone surrogate, say
        unedited = False
    if not unedited:
        raise FormatError(f"{path} was changed after it was sealed: its checksum differs")
    try:
        files = _checked_files(body["files"])
        body.setdefault("quantization", {})  # not written where there is none
        manifest = Manifest(**{one.name: body[one.name] for one in fields(Manifest)})
        if sorted(files) != sorted(manifest.files) or body["version"] != manifest.version:
            raise FormatError(
                f"version {body['version']} lists {sorted(files)}, not {manifest.files}"
            )
    except KeyError as error:
        raise FormatError(f"{path} lacks {error}") from None
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    if body.get("fingerprint") != _fingerprint(manifest, files):
        raise FormatError(f"{path}: its fingerprint is not that of the files it lists")
    return manifest, files, body["fingerprint"]


def _checked_files(files: object) -> dict[str, dict[str, Any]]:
    if not isinstance(files, dict):
        raise FormatError("files is not a table of names")
    for name, sealed in files.items():
        if not (
            isinstance(sealed, dict)
            and isinstance(sealed.get("bytes"), int)
            and isinstance(sealed.get("sha256"), str)
        ):
            raise FormatError(f"files says neither the bytes nor the sha256 of {name}")
    return files


def _check_file(path: Path, sealed: Mapping[str, Any]) -> None:
    if not path.is_file():
        raise FormatError(f"{path} is missing; {_RESTORE}")
    size = path.stat().st_size
    if size != sealed["bytes"]:
        how = "truncated" if size < sealed["bytes"] else "changed"
        raise FormatError(
            f"{path} is {how}: {size} bytes, sealed with {sealed['bytes']}; {_RESTORE}"
        )
    got = _sha256(path)
    if got != sealed["sha256"]:
        raise FormatError(
            f"{path} is changed: sha256 {got[:12]}…, sealed with {sealed['sha256'][:12]}…; "
            f"{_RESTORE}"
        )


_RESTORE = "copy the artifact again, or export it again"


def _measure(path: Path) -> dict[str, Any]:
    path.chmod(path.parent.stat().st_mode & 0o666)  # some writers leave files to their owner alone
    _sync(path)
    return {"bytes": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(manifest: Manifest, files: Mapping[str, Any]) -> str:
    """Return the name of everything that decides a vector: weights, graph, tokenizer, prompts."""
    kind = {} if manifest.kind == ENCODER else {"kind": manifest.kind}
    decides = ("engine", "dim", "max_tokens", "normalized", "prompts", "default_prompt")
    return _digest(
        {name: getattr(manifest, name) for name in decides}
        | kind
        | {"files": {name: files[name]["sha256"] for name in manifest.files if name != GOLDEN}}
    )


def _body(manifest: Manifest, files: Mapping[str, Any], fingerprint: str) -> dict[str, Any]:
    said = asdict(manifest)
    if not manifest.quantization:
        del said["quantization"]
    return {
        "format": FORMAT,
        "version": manifest.version,
        "kind": manifest.kind,
        "fingerprint": fingerprint,
        "files": dict(files),
    } | said


def _dump(body: Mapping[str, Any]) -> bytes:
    """Return the one spelling of artifact.json, so that any changed byte is seen."""
    sealed = {**body, "checksum": _digest(body)}
    return (json.dumps(sealed, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _digest(value: Mapping[str, Any]) -> str:
    plain = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(plain.encode()).hexdigest()


def _write_synced(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    _sync(path)


def _sync(path: Path) -> None:
    """Put `path` on the disk before the rename that makes it visible."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no directories; its rename is journalled
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
