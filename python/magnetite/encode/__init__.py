"""Artifacts and encoders: text in, vectors out, by ONNX Runtime or Rust; never torch."""

from magnetite.encode.artifact import Artifact
from magnetite.encode.encoder import Encoder
from magnetite.encode.verify import Report, verify

__all__ = ["Artifact", "Encoder", "Report", "verify"]
