"""From a PyTorch module to an ONNX graph that ONNX Runtime runs with fused attention."""

import json
import tempfile
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.transformers.optimizer import optimize_model
from safetensors.numpy import save_file
from torch import Tensor, nn

from magnetite.encode.artifact import MODEL, WEIGHTS
from magnetite.encode.session import INPUTS

OPSET = 17
"""The newest that the exporter whose attention can be fused writes without conversions."""
SMALLEST_EXTERNAL_BYTES = 1024
"""Below this a constant stays in the graph, where ONNX Runtime may read shapes from it."""

TEXT = INPUTS[:2]
"""What the graph of a single text reads."""

BESIDE = "beside the graph: "
"""Begins the names of weights that the graph holds in no form, so that none is a constant's."""


class Probe(NamedTuple):
    """An input, and what the module made of it."""

    cells: dict[str, NDArray[np.int64]]  # [n, L] each
    vectors: NDArray[np.float32]  # [n, dim]


def trace(
    module: nn.Module, *, inputs: Sequence[str] = TEXT, output: str = "embedding"
) -> onnx.ModelProto:
    """Return the graph of `module`, both axes of its inputs of any size.

    Args:
        module: Ids, mask and what else `inputs` names to vectors.
        inputs: In the order of the module's arguments; one that it never reads is left out.
        output: What the vectors are called.
    """
    ids = torch.arange(2 * 7).reshape(2, 7) % 5
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0  # ragged, so that the branch for padding is the one that is traced
    cells = (ids, mask, ids % 2)[: len(inputs)]
    sizes = {0: "n", 1: "length"}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        _quiet_the_exporter()
        path = Path(folder) / MODEL
        torch.onnx.export(
            module,
            cells,
            path,
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes={**dict.fromkeys(inputs, sizes), output: {0: "n"}},
            opset_version=OPSET,
            dynamo=False,  # its successor's attention fuses nowhere: 0 of 6 layers, 12 % slower
        )
        return onnx.load(path)


def _quiet_the_exporter() -> None:
    """Silence what the tracing exporter says of every model; the checks after it hold or refuse."""
    for category, message in (
        (DeprecationWarning, "You are using the legacy TorchScript-based ONNX export"),
        (DeprecationWarning, "The feature will be removed"),  # its own internal calls
        (Warning, "Converting a tensor to a Python boolean"),  # checked by shapes
        (UserWarning, "Exporting aten::index operator of advanced indexing"),  # checked by numbers
    ):
        warnings.filterwarnings("ignore", message, category)


def fuse(
    graph: onnx.ModelProto, module: nn.Module, *, allow_unfused: bool = False
) -> onnx.ModelProto:
    """Return `graph` with one fused attention node where it had one softmax over keys.

    Args:
        graph: What `trace` made of `module`.
        module: Some part of it may have a `config` that tells heads from width.
        allow_unfused: Accept attention that stays in pieces.

    Raises:
        ValueError: Some attention stays in pieces and `allow_unfused` is not set.
    """
    wanted = _count(graph, "Softmax")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL
        onnx.save(graph, path)
        heads, width = _heads_and_width(module)
        fused = optimize_model(str(path), "bert", heads, width, opt_level=0).model
    got = _count(fused, "Attention", "MultiHeadAttention")
    if got != wanted and not allow_unfused:
        raise ValueError(
            f"ONNX Runtime fused {got} of {wanted} attention layers of this model; unfused ones "
            "run slower, with the same result; export with allow_unfused=True (--allow-unfused) to "
            "accept that"
        )
    return fused


def _heads_and_width(module: nn.Module) -> tuple[int, int]:
    """Return what fusion cannot read from a traced graph; zeros where no part says it."""
    for part in module.modules():
        config = getattr(part, "config", None)
        heads = getattr(config, "num_attention_heads", None)
        if isinstance(heads, int):
            return heads, getattr(config, "hidden_size", 0)
    return 0, 0


def _count(graph: onnx.ModelProto, *kinds: str) -> int:
    counts = Counter(node.op_type for node in graph.graph.node)
    return sum(counts[kind] for kind in kinds)


def probe(
    module: nn.Module,
    vocabulary: int,
    max_tokens: int,
    *,
    inputs: Sequence[str] = TEXT,
    ever: Sequence[int] = (),
) -> list[Probe]:
    """Return what `module` makes of ids and ragged masks of four shapes, the longest included.

    Args:
        module: What is exported.
        vocabulary: Ids are below it.
        max_tokens: Of the longest row.
        inputs: What the module reads.
        ever: Ids without which it makes nothing of a row; each row long enough has them.

    Raises:
        ValueError: The module has no vector for an id that its tokenizer may give.
    """
    draw = np.random.default_rng(0)
    probes = []
    for n, longest in ((1, 1), (1, 16), (2, 17), (8, max_tokens)):
        length = min(longest, max_tokens)
        ids = draw.integers(vocabulary, size=(n, length))
        ids[:, : len(ever)] = ever[:length]
        kept = np.append(draw.integers(1, length, size=n - 1, endpoint=True), length)
        mask = (np.arange(length) < kept[:, None]).astype(np.int64)
        types = (np.arange(length) >= kept[:, None] // 2).astype(np.int64) * mask
        cells = dict(zip(inputs, (ids, mask, types), strict=False))
        try:
            with torch.inference_mode():
                vectors = module(*map(torch.from_numpy, cells.values())).numpy()
        except IndexError as error:
            raise ValueError(
                f"the tokenizer gives ids up to {vocabulary - 1}, texts have up to {max_tokens} "
                f"tokens, and the module takes fewer: {error}"
            ) from error
        probes.append(Probe(cells, vectors))
    return probes


def largest_difference(graph: onnx.ModelProto, probes: Sequence[Probe]) -> float:
    """Return the largest difference of a coordinate between `graph` and the module probed."""
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    read = {one.name for one in session.get_inputs()}

    def run(cells: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        fed = {name: one for name, one in cells.items() if name in read}
        return session.run(None, fed)[0]  # type: ignore[no-any-return]

    return max(largest(run(one.cells) - one.vectors) for one in probes)


def largest(difference: NDArray[np.float32]) -> float:
    """Return the largest absolute value, or infinity if something is not finite."""
    return float(np.abs(difference).max()) if np.isfinite(difference).all() else float("inf")


def write(graph: onnx.ModelProto, extra: Mapping[str, NDArray[np.generic]], folder: Path) -> None:
    """Write model.safetensors and the model.onnx that refers to it, so that bytes exist once.

    Args:
        graph: Its larger constants move to model.safetensors, under their names.
        extra: Tensors that the graph does not use, kept beside them.
        folder: Where both files go.
    """
    moved = {
        one.name: one
        for one in graph.graph.initializer
        if len(one.raw_data) >= SMALLEST_EXTERNAL_BYTES
    }
    arrays = {name: numpy_helper.to_array(one) for name, one in moved.items()}
    save_file({**arrays, **extra}, folder / WEIGHTS)
    for name, (start, length) in tensor_spans(folder / WEIGHTS).items():
        if name in moved:
            refer(moved[name], start, length)
    onnx.save(graph, folder / MODEL)


def tensor_spans(path: Path) -> dict[str, tuple[int, int]]:
    """Return where in a safetensors file the bytes of each tensor start, and how many they are."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    spans = {name: tensor["data_offsets"] for name, tensor in header.items()}
    return {name: (8 + size + start, end - start) for name, (start, end) in spans.items()}


def refer(tensor: onnx.TensorProto, start: int, length: int) -> None:
    """Make `tensor` mean those bytes of model.safetensors instead of its own."""
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", WEIGHTS), ("offset", start), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def locate(
    state: Mapping[str, Tensor], graph: onnx.ModelProto
) -> tuple[dict[str, list[object]], dict[str, NDArray[np.generic]]]:
    """Return where in the graph's constants each weight is found, bit for bit.

    Fusion transposes weights and lays those of query, key and value side by side; it computes
    nothing. So a weight is a constant, or its transpose, or some of its columns.

    Returns:
        For each weight `[tensor, transposed, first column]`, and the tensors found nowhere.
    """
    constants = {one.name: numpy_helper.to_array(one) for one in graph.graph.initializer}
    places: dict[str, list[object]] = {}
    lost: dict[str, NDArray[np.generic]] = {}
    for name, tensor in state.items():
        weight = tensor.detach().cpu().numpy()
        place = _find(weight, constants)
        if place is None:
            place = [f"{BESIDE}{name}", False, 0]
            lost[f"{BESIDE}{name}"] = np.ascontiguousarray(weight)
        places[name] = place
    return places, lost


def _find(
    weight: NDArray[np.generic], constants: Mapping[str, NDArray[np.generic]]
) -> list[object] | None:
    for transposed in (False, True) if weight.ndim == 2 else (False,):
        wanted = weight.T if transposed else weight
        for name, constant in constants.items():
            if constant.nbytes < SMALLEST_EXTERNAL_BYTES or constant.dtype != wanted.dtype:
                continue
            if constant.ndim != wanted.ndim or constant.shape[:-1] != wanted.shape[:-1]:
                continue
            columns = wanted.shape[-1]
            for first in range(0, constant.shape[-1] - columns + 1, columns):
                if np.array_equal(constant[..., first : first + columns], wanted):
                    return [name, transposed, first]
    return None
