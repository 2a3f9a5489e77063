"""Texts and the vectors that an encoder gave them when it was sealed."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magnetite import _core
from magnetite._core import FormatError


@dataclass(frozen=True)
class Golden:
    """What `verify` recomputes on the CPU at hand."""

    texts: list[str]
    vectors: NDArray[np.float32]  # [n, dim]

    def write(self, path: Path) -> None:
        """Write a safetensors file of one tensor, `vectors`; its metadata holds the texts."""
        data = np.ascontiguousarray(self.vectors, dtype="<f4").tobytes()
        tensor = {"dtype": "F32", "shape": self.vectors.shape, "data_offsets": [0, len(data)]}
        texts = json.dumps(self.texts, ensure_ascii=False)
        header = json.dumps({"__metadata__": {"texts": texts}, "vectors": tensor}).encode()
        header += b" " * (-len(header) % 8)
        path.write_bytes(len(header).to_bytes(8, "little") + header + data)

    @classmethod
    def read(cls, path: Path, dim: int) -> "Golden":
        """Return the golden rows of `path`, or raise `FormatError` that names it."""
        try:
            texts = json.loads(_core.read_metadata(path)["texts"])
            vectors = _core.read_tensors(path)["vectors"]
            sound = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        except (KeyError, RecursionError, json.JSONDecodeError) as error:
            raise FormatError(f"{path} is not a golden file: {error!r}") from None
        if not sound or vectors.dtype != np.float32 or vectors.shape != (len(texts), dim):
            raise FormatError(
                f"{path} is not a golden file: wanted a float32 row of {dim} for each text, "
                f"got {vectors.dtype} {vectors.shape}"
            )
        return cls(texts, vectors)
