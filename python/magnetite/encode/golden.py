"""Texts and the vectors that an encoder gave them when it was sealed."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magnetite._core import FormatError

MAX_HEADER_BYTES = 1 << 20


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
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(size, MAX_HEADER_BYTES):
                raise FormatError(f"{path}: its header claims {length} bytes")
            raw, data = file.read(length), file.read()
        try:
            header = json.loads(raw)
            texts = json.loads(header["__metadata__"]["texts"])
            tensor = header["vectors"]
            sound = (
                all(isinstance(text, str) for text in texts)
                and tensor["dtype"] == "F32"
                and tensor["shape"] == [len(texts), dim]
                and tensor["data_offsets"] == [0, len(data)]
                and len(data) == 4 * dim * len(texts)
            )
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise FormatError(f"{path} is not a golden file: {error!r}") from None
        if not sound:
            raise FormatError(f"{path} is not a golden file: texts and vectors [n, {dim}] disagree")
        return cls(texts, np.frombuffer(data, dtype="<f4").reshape(len(texts), dim).copy())
