"""Models that sentence-transformers or transformers saved, as modules of our own parts."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from magnetite.encode.artifact import SCORE
from magnetite.learn.encoders.backbone import Backbone, tokenizer_json
from magnetite.learn.encoders.cross_encoder import CrossEncoder, First
from magnetite.learn.encoders.tower import Tower
from magnetite.learn.export.describe import build_head, build_pool

POOLS = {  # in the order in which sentence-transformers concatenates old-style flags
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
SIMILARITIES = {"cosine": "cosine", "dot": "dot", "euclidean": "l2"}


@dataclass(frozen=True)
class Folder:
    """A saved model, read."""

    module: Tower | CrossEncoder
    tokenizer: str
    """Its tokenizer.json."""
    similarity: str
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None


def find(source: str | os.PathLike[str]) -> Path:
    """Return the folder `source`, or that of the hub id `source`, downloaded if need be.

    Raises:
        FileNotFoundError: It is neither, or the hub cannot be reached.
    """
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download  # the hub's client is slow to import
    from huggingface_hub.errors import HFValidationError

    wanted = ["*.json", "*.txt", "*.safetensors", "*.model"]
    try:
        return Path(snapshot_download(os.fspath(source), allow_patterns=wanted))
    except HFValidationError:
        raise FileNotFoundError(2, "no such folder, and not a hub id", os.fspath(source)) from None
    except (OSError, ValueError) as error:
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        raise FileNotFoundError(
            f"{source} is no folder, and the hub gave no model of that name{offline}: {error}; "
            "name a folder, or connect and try again"
        ) from error


def read(folder: Path) -> Folder:
    """Return the model in `folder`: a cross-encoder, if it classifies pairs, else an encoder.

    Raises:
        FileNotFoundError: There is no modules.json.
        ValueError: It holds a module, or an option of one, that has no counterpart here.
    """
    architectures = _json(folder / "config.json").get("architectures") or []
    if any(name.endswith("ForSequenceClassification") for name in architectures):
        return _cross_encoder(folder)
    if not (folder / "modules.json").is_file():
        raise FileNotFoundError(
            f"{folder} has no modules.json, which says how token states become one vector; "
            "save the model with sentence-transformers once, with the pooling it was trained for"
        )
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"]:
        raise ValueError(f"{folder} begins with {kinds[:2]}; wanted Transformer and Pooling")
    where = [folder / module["path"] for module in modules]
    backbone = Backbone.from_folder(where[0])
    pooling = _pooling(_json(where[1] / "config.json"))
    layers: list[dict[str, Any]] = []
    weights: list[Path] = []
    for kind, path in zip(kinds[2:], where[2:], strict=True):
        if kind == "Dense":
            layers += _dense(_json(path / "config.json"), path)
            weights.append(path)
        elif kind not in ("Normalize", "Dropout"):
            raise ValueError(f"{path}: module {kind} has no counterpart here; known: {KNOWN}")
    normalize = "Normalize" in kinds
    if normalize and kinds[-1] != "Normalize":
        raise ValueError(f"{folder} normalises before its end: {kinds}; wanted Normalize last")
    head = build_head(layers)
    _load_dense(head, weights)
    config, saved = _transformer_config(where[0]), _json(folder / CONFIG)
    similarity = saved.get("similarity_fn_name") or "cosine"
    if similarity not in SIMILARITIES:
        raise ValueError(f"{folder}: similarity {similarity!r} is none of {sorted(SIMILARITIES)}")
    dim = next(
        (layer["linear"][1] for layer in reversed(layers) if "linear" in layer),
        len(pooling) * backbone.dim,
    )
    tower = Tower(
        backbone,
        build_pool(pooling),
        dim=dim,
        head=head,
        normalize=normalize,
        max_tokens=_max_tokens(config, where[0], backbone.max_positions),
    )
    return Folder(
        module=tower,
        tokenizer=_tokenizer(where[0], lower=config.get("do_lower_case", False)),
        similarity=SIMILARITIES[similarity],
        prompts=saved.get("prompts", {}),
        default_prompt=saved.get("default_prompt_name"),
    )


def _cross_encoder(folder: Path) -> Folder:
    backbone, head = Backbone.with_score(folder)
    if _json(folder / CONFIG).get("default_prompt_name"):
        raise ValueError(f"{folder} puts a prompt before its queries, which no artifact does")
    config = _transformer_config(folder)
    module = CrossEncoder(
        backbone,
        First(head),
        max_tokens=_max_tokens(config, folder, backbone.max_positions),
    )
    lower = config.get("do_lower_case", False)
    return Folder(module, _tokenizer(folder, lower=lower), similarity=SCORE)


CONFIG = "config_sentence_transformers.json"
KNOWN = ("Transformer", "Pooling", "Dense", "Dropout", "Normalize")


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _transformer_config(folder: Path) -> dict[str, Any]:
    for path in sorted(folder.glob("sentence_*_config.json")):
        return _json(path)
    return {}


def _pooling(config: dict[str, Any]) -> list[str]:
    if not config.get("include_prompt", True):
        raise ValueError("this model leaves its prompt out of the pooling, which no artifact does")
    modes = config.get("pooling_mode") or [new for old, new in POOLS.items() if config.get(old)]
    return [modes] if isinstance(modes, str) else list(modes) or ["mean"]


def _dense(config: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    if config.get("use_residual") or config.get("module_input_name", DENSE_INPUT) != DENSE_INPUT:
        raise ValueError(f"{path}: a Dense module with a residual or another input is unknown here")
    shape = [config["in_features"], config["out_features"], config.get("bias", True)]
    activation = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    if activation is None or activation.endswith(".Identity"):
        return [{"linear": shape}]
    if not activation.startswith("torch.nn."):
        raise ValueError(f"{path}: activation {activation} is not one of torch.nn")
    return [{"linear": shape}, {"activation": activation.rsplit(".", 1)[-1]}]


DENSE_INPUT = "sentence_embedding"


def _load_dense(head: nn.Module, folders: list[Path]) -> None:
    linear = [layer for layer in head.modules() if isinstance(layer, nn.Linear)]
    for layer, folder in zip(linear, folders, strict=True):
        path = folder / "model.safetensors"
        if path.is_file():
            state = load_file(path)
        else:
            path = folder / "pytorch_model.bin"
            state = torch.load(path, map_location="cpu", weights_only=True)
        layer.load_state_dict({name.removeprefix("linear."): state[name] for name in state})


def _max_tokens(config: dict[str, Any], folder: Path, positions: int | None) -> int:
    limits = [
        config.get("max_seq_length") or _json(folder / "tokenizer_config.json").get(MODEL_MAX),
        positions,
    ]
    known = [limit for limit in limits if limit is not None]
    if not known:
        raise ValueError(f"{folder} says nowhere how many tokens it takes; set max_seq_length")
    return min(known)


MODEL_MAX = "model_max_length"


def _tokenizer(folder: Path, *, lower: bool) -> str:
    """Return tokenizer.json, lower-casing if asked, without a length of its own."""
    tokenizer = json.loads(tokenizer_json(folder))
    tokenizer["truncation"] = tokenizer["padding"] = None  # max_tokens and the batch decide
    if lower and '"lowercase": true' not in json.dumps(tokenizer["normalizer"]):
        before = tokenizer["normalizer"]
        normalizers = [{"type": "Lowercase"}, *([before] if before else [])]
        tokenizer["normalizer"] = {"type": "Sequence", "normalizers": normalizers}
    return json.dumps(tokenizer, ensure_ascii=False)
