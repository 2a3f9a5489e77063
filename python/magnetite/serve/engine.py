"""The encoder below its tokenizer: ragged ids to vectors, the same as `Encoder.encode` gives."""

from magnetite.encode import Encoder
from magnetite.serve.batcher import Engine


def engine_of(encoder: Encoder) -> Engine:
    """Return what turns ids into vectors."""
    return encoder.encode_ids
