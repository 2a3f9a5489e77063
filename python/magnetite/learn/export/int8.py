"""A graph whose products are of bytes: activations by fixed scales, weights by one a column.

ONNX Runtime's `DynamicQuantizeLinear` takes an activation's scale from the whole batch, so a text's
vector depends on its company. Here the scales are constants, measured on texts beforehand.

A few columns of an activation are ten times as wide as the others, and one scale for all loses the
others. They are divided down to a common bound first, and their rows of the weight multiplied up,
which costs the weight digits; of several bounds that of the least error is taken (Xiao et al. 2023,
SmoothQuant, divide by another rule, which lost more here).

The nodes are written by hand, since ONNX Runtime (1.32) makes of the static graphs of its own
tool (`QuantizeLinear`, `DequantizeLinear`, `MatMul`) products with float weights (`MatMulNBits`).
"""

from collections.abc import Collection, Iterable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from magnetite.encode.session import INPUTS, Cells

STEPS = 255
"""Of an activation's byte."""
PEAK = 63
"""Of a weight's byte: two products of it and of an activation's byte fit 16 bits, in which AVX2
adds them and would saturate."""
FACTORS = (1, 1.5, 2, 3, 4, 6, 8, 12, 16)
"""How far the widest column may be divided down."""
ATTENTION = {"num_heads", "unidirectional", "mask_filter_value", "scale"}
"""Attributes that `QAttention` has, too."""

Floats = NDArray[np.float64]


@dataclass
class Seen:
    """What came into a product, by column, [columns] each."""

    low: Floats
    high: Floats
    squares: Floats
    """Their sum."""
    rows: int = 0

    def add(self, values: Floats) -> None:
        """Take rows, [n, columns]."""
        self.low = np.minimum(self.low, values.min(0))
        self.high = np.maximum(self.high, values.max(0))
        self.squares = self.squares + (values**2).sum(0)
        self.rows += len(values)


@dataclass(frozen=True)
class Rounding:
    """How a product's activation and weight become bytes."""

    divisors: Floats  # [columns]; ones where nothing is divided
    scale: float
    zero: int
    weight: NDArray[np.int8]  # [columns, outputs]
    scales: NDArray[np.float32]  # [outputs]
    error: float
    """Expected square of what rounding changes, in a row of outputs, of the outputs' own."""


def products(graph: onnx.ModelProto) -> list[NodeProto]:
    """Return the nodes that can be of bytes: those that multiply by a constant matrix."""
    matrices = {one.name for one in graph.graph.initializer if len(one.dims) == 2}
    return [
        node
        for node in graph.graph.node
        if node.op_type in ("MatMul", "Attention")
        and node.input[1] in matrices
        and (node.op_type == "MatMul" or _plain(node))
    ]


def _plain(node: NodeProto) -> bool:
    """Whether fused attention has no more than its counterpart of bytes knows."""
    return not any(node.input[4:]) and {one.name for one in node.attribute} <= ATTENTION


def watch(graph: onnx.ModelProto, batches: Iterable[Cells]) -> dict[str, Seen]:
    """Return what each product of `graph` is given when it runs `batches`, by the tensor's name."""
    watched = deepcopy(graph)
    names = sorted({node.input[0] for node in products(graph)})
    outputs = [helper.make_tensor_value_info(one, TensorProto.FLOAT, None) for one in names]
    del watched.graph.output[:]
    watched.graph.output.extend(outputs)
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    read = {one.name for one in session.get_inputs()}
    seen: dict[str, Seen] = {}
    for cells in batches:
        fed = {name: one for name, one in zip(INPUTS, cells, strict=False) if name in read}
        for name, values in zip(names, session.run(names, fed), strict=True):
            rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
            nothing = np.zeros(rows.shape[1])
            seen.setdefault(name, Seen(nothing, nothing, nothing)).add(rows)
    return seen


def rounding(weight: Floats, seen: Seen) -> Rounding:
    """Return the rounding of least expected error, by the widest column's bound."""
    peak = np.maximum(-seen.low, seen.high)
    bounds = (peak.max() / factor for factor in FACTORS)
    divided = (np.maximum(1, peak / bound) if bound else np.ones_like(peak) for bound in bounds)
    return min((_rounding(weight, seen, one) for one in divided), key=lambda one: one.error)


def _rounding(weight: Floats, seen: Seen, divisors: Floats) -> Rounding:
    """Return the rounding with these divisors.

    Its error: a step s of uniform rounding has the variance s² / 12. That of an activation goes
    through its row of the weight, that of a weight is multiplied by its activation.
    """
    low, high = (seen.low / divisors).min(), (seen.high / divisors).max()
    step = (high - low) / STEPS or 1.0
    scaled = weight * divisors[:, None]
    steps = np.abs(scaled).max(0) / PEAK
    steps[steps == 0] = 1
    squares = seen.squares / max(1, seen.rows)
    through = step**2 / 12 * (scaled**2).sum()
    beside = (steps**2 / 12).sum() * (squares / divisors**2).sum()
    own = (squares[:, None] * weight**2).sum() or 1.0
    return Rounding(
        divisors=divisors,
        scale=step,
        zero=int(np.clip(np.rint(-low / step), 0, STEPS)),
        weight=np.rint(scaled / steps).astype(np.int8),
        scales=steps.astype(np.float32),
        error=(through + beside) / own,
    )


def roundings(graph: onnx.ModelProto, seen: dict[str, Seen]) -> dict[str, Rounding]:
    """Return the rounding of every product, by the name of its output."""
    constants = {one.name: one for one in graph.graph.initializer}

    def of(node: NodeProto) -> Rounding:
        weight = numpy_helper.to_array(constants[node.input[1]]).astype(np.float64)
        return rounding(weight, seen[node.input[0]])

    return {node.output[0]: of(node) for node in products(graph)}


def quantize(
    graph: onnx.ModelProto, how: dict[str, Rounding], *, keep: Collection[str] = ()
) -> onnx.ModelProto:
    """Return `graph` with its products of bytes, but those whose outputs are in `keep`."""
    made = deepcopy(graph)
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    chosen = {node.output[0] for node in products(graph)} - set(keep)
    for node in graph.graph.node:
        if node.output[0] in chosen:
            more, needed = _of_bytes(node, how[node.output[0]])
            nodes += more
            constants += needed
        else:
            nodes.append(node)
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    kept = [one for one in made.graph.initializer if one.name in read]
    del made.graph.initializer[:]
    made.graph.initializer.extend([*kept, *constants])
    return made


def _of_bytes(node: NodeProto, how: Rounding) -> tuple[list[NodeProto], list[TensorProto]]:
    """Return nodes that do as `node` does, by bytes, and the constants that they need."""
    given, [made] = node.input[0], node.output
    names = [f"{made} {one}" for one in ("scale", "zero", "weight", "scales")]
    scale, zero, weight, scales = names
    values = (np.float32(how.scale), np.uint8(how.zero), how.weight, how.scales)
    constants = [
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in zip(names, values, strict=True)
    ]
    nodes = []
    if how.divisors.max() > 1:
        factors = (1 / how.divisors).astype(np.float32)
        constants.append(numpy_helper.from_array(factors, f"{made} factors"))
        nodes.append(helper.make_node("Mul", [given, f"{made} factors"], [f"{made} divided"]))
        given = f"{made} divided"
    nodes.append(helper.make_node("QuantizeLinear", [given, scale, zero], [f"{made} bytes"]))
    if node.op_type == "MatMul":
        kind, inputs = "MatMulIntegerToFloat", [f"{made} bytes", weight, scale, scales, zero]
    else:
        bias, mask = node.input[2], node.input[3] if len(node.input) > 3 else ""
        kind = "QAttention"
        inputs = [f"{made} bytes", weight, bias, scale, scales, mask, zero]
    product = helper.make_node(kind, inputs, [made], domain="com.microsoft")
    product.attribute.extend(node.attribute)
    return [*nodes, product], constants
