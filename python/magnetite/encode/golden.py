"""Texts, or pairs of them, and the vectors or scores that they had when a model was sealed."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magnetite import _core
from magnetite._core import FormatError

Kept = list[str] | list[tuple[str, str]]


@dataclass(frozen=True)
class Golden:
    """What `verify` recomputes on the CPU at hand."""

    kept: Kept
    vectors: NDArray[np.float32]  # [n, dim]; a pair's score is a vector of one number

    @property
    def texts(self) -> list[str]:
        """The texts of an encoder."""
        return [text for text in self.kept if isinstance(text, str)]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of a cross-encoder."""
        return [pair for pair in self.kept if not isinstance(pair, str)]

    def write(self, path: Path) -> None:
        """Write a safetensors file of one tensor, `vectors`; its metadata holds the texts."""
        data = np.ascontiguousarray(self.vectors, dtype="<f4").tobytes()
        tensor = {"dtype": "F32", "shape": self.vectors.shape, "data_offsets": [0, len(data)]}
        texts = json.dumps(self.kept, ensure_ascii=False)
        header = json.dumps({"__metadata__": {"texts": texts}, "vectors": tensor}).encode()
        header += b" " * (-len(header) % 8)
        path.write_bytes(len(header).to_bytes(8, "little") + header + data)

    @classmethod
    def read(cls, path: Path, dim: int, *, pairs: bool = False) -> "Golden":
        """Return the golden rows of `path`, or raise `FormatError` that names it."""
        try:
            listed = json.loads(_core.read_metadata(path)["texts"])
            vectors = _core.read_tensors(path)["vectors"]
            kept = [tuple(one) if isinstance(one, list) else one for one in listed]
        except (KeyError, TypeError, RecursionError, json.JSONDecodeError) as error:
            raise FormatError(f"{path} is not a golden file: {error!r}") from None
        sound = isinstance(listed, list) and all(
            _is_pair(one) if pairs else _is_text(one) for one in kept
        )
        if not sound or vectors.dtype != np.float32 or vectors.shape != (len(kept), dim):
            raise FormatError(
                f"{path} is not a golden file: wanted a float32 row of {dim} for each "
                f"{'pair' if pairs else 'text'}, got {vectors.dtype} {vectors.shape}"
            )
        return cls(kept, vectors)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_text, value))
