"""Artifacts, encoders and cross-encoders: by ONNX Runtime or Rust; never torch."""

from magnetite.encode.artifact import Artifact
from magnetite.encode.cross_encoder import CrossEncoder
from magnetite.encode.encoder import Encoder
from magnetite.encode.verify import Report, verify

__all__ = ["Artifact", "CrossEncoder", "Encoder", "Report", "verify"]
