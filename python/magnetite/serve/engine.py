"""The encoder below its tokenizer: ragged ids to vectors, the same as `Encoder.encode` gives."""

import numpy as np

from magnetite.encode import Encoder
from magnetite.encode.encoder import BATCH_TOKENS, OnnxEngine, StaticEngine
from magnetite.encode.session import Run, run_batches
from magnetite.serve.batcher import Engine, Ids, Starts, Vectors
from magnetite.text import pack


def engine_of(encoder: Encoder) -> Engine:
    """Return what turns ids into vectors."""
    engine = encoder.engine
    if isinstance(engine, StaticEngine):
        core = engine._core
        return lambda ids, starts: core.encode(ids, starts, encoder.threads)
    assert isinstance(engine, OnnxEngine)
    session = engine.session

    def run(ids: Ids, starts: Starts) -> Vectors:
        lengths = np.diff(starts)
        out = np.empty((len(lengths), encoder.dim), np.float32)

        def work(run_one: Run) -> None:
            for rows, width in pack(lengths, BATCH_TOKENS, encoder.max_tokens):
                column = np.arange(width)
                mask = column < lengths[rows, None]
                take = np.minimum(starts[rows, None] + column, len(ids) - 1)
                rectangle = np.where(mask, ids[take], 0).astype(np.int64)
                out[rows] = run_one(rectangle, mask.astype(np.int64))

        run_batches(session, work)
        return out

    return run
