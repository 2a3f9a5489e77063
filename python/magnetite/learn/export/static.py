"""Token tables become artifacts that the Rust engine runs."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from torch import Tensor

from magnetite.encode.artifact import MODEL, WEIGHTS, Artifact, Manifest, free_directory
from magnetite.learn.encoders.static import StaticEncoder
from magnetite.learn.export import graph
from magnetite.learn.export.seal import (
    Card,
    frozen,
    module_vectors,
    within_bound,
    write_golden,
)

QUANTIZED_BOUND = 0.01
"""Rounding moves a table's coordinate by at most 1/254 of its row's largest."""


def quantize(table: Tensor) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 rows [vocab, dim] and what one step of each is worth [vocab]."""
    scale = table.abs().amax(1) / 127
    steps = (table / scale.clamp(min=torch.finfo(table.dtype).tiny)[:, None]).round()
    return steps.to(torch.int8).numpy(), scale.numpy()


def seal_table(module: StaticEncoder, card: Card, out: str | os.PathLike[str]) -> Artifact:
    """Return the artifact of a static encoder, its table rounded to int8, written to `out`.

    Raises:
        FileExistsError: `out` holds something.
        ValueError: Rounding moved a coordinate of a golden text's vector by more than 0.01.
    """
    free_directory(out)
    still = frozen(module)
    table, scale = quantize(still.table)
    tensors: dict[str, NDArray[Any]] = {
        "table": table,
        "scale": scale,
        "weight": still.weight.numpy(),
    }
    rounded = StaticEncoder.from_int8(*(torch.from_numpy(one) for one in tensors.values()))

    def write(folder: Path) -> Manifest:
        save_file(tensors, folder / WEIGHTS)
        onnx.save(static_graph(tensors, graph.tensor_spans(folder / WEIGHTS)), folder / MODEL)
        golden, batched = write_golden(folder, card)
        deviations = {
            "quantized": graph.largest(module_vectors(still, card) - module_vectors(rounded, card)),
            "sealed": within_bound(
                "sealing", graph.largest(golden.vectors - module_vectors(rounded, card))
            ),
            "batched": batched,
        }
        within_bound("rounding to int8", deviations["quantized"], QUANTIZED_BOUND)
        return card.manifest("static", golden, pooling=["weighted_sum"], deviations=deviations)

    return Artifact.seal(out, write)


def static_graph(
    tensors: dict[str, NDArray[Any]], spans: dict[str, tuple[int, int]]
) -> onnx.ModelProto:
    """Return normalise( Σ_t weight[t] · scale[t] · table[t] ) over the tensors of a file."""
    _, dim = tensors["table"].shape
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["steps"]),
        helper.make_node("Cast", ["steps"], ["rows"], to=TensorProto.FLOAT),  # [n, L, dim]
        helper.make_node("Mul", ["scale", "weight"], ["worths"]),
        helper.make_node("Gather", ["worths", "ids"], ["worth"]),
        helper.make_node("Cast", ["mask"], ["present"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["worth", "present"], ["kept"]),
        helper.make_node("Unsqueeze", ["kept", "one"], ["row"]),  # [n, 1, L]
        helper.make_node("MatMul", ["row", "rows"], ["sums"]),
        helper.make_node("Squeeze", ["sums", "one"], ["sum"]),  # [n, dim]
        helper.make_node("ReduceL2", ["sum"], ["norm"], axes=[1]),
        helper.make_node("Max", ["norm", "least"], ["length"]),  # zeros stay zeros
        helper.make_node("Div", ["sum", "length"], ["embedding"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1], np.int64), "one"),
        numpy_helper.from_array(np.array([1e-12], np.float32), "least"),
    ]
    for name, tensor in tensors.items():
        kind = helper.np_dtype_to_tensor_dtype(tensor.dtype)
        constant = TensorProto(name=name, dims=tensor.shape, data_type=kind)
        graph.refer(constant, *spans[name])
        constants.append(constant)
    of_ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "length"])
        for name in ("ids", "mask")
    ]
    vectors = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", dim])
    made = helper.make_graph(nodes, "static", of_ids, [vectors], initializer=constants)
    opset = [helper.make_opsetid("", graph.OPSET)]
    return helper.make_model(made, opset_imports=opset, ir_version=8)
