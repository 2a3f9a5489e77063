"""A sealed encoder gives its module's vectors, and what cannot be sealed says why."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from magnetite import learn
from magnetite._core import FormatError
from magnetite.encode import Artifact, Encoder, verify
from magnetite.encode.artifact import MODEL, WEIGHTS
from magnetite.learn.encoders import Tower, pool
from magnetite.learn.encoders.backbone import Backbone
from magnetite.learn.export import export, restore, seal_static
from magnetite.learn.export.describe import POOLS, build_head, build_pool
from magnetite.text import Tokenizer

torch.set_num_threads(1)

TEXTS = ["iron", "the magnet of iron!", "", "x" * 60, "a b c d e f g", "ünïcode ж 猫"]


@pytest.fixture
def tower(tiny_shape, tiny_tokenizer):
    """Build a transformer with these pools and random weights."""

    def build(pooling: list[str], **options: object) -> Tower:
        torch.manual_seed(1)
        backbone = Backbone.from_config({"model_type": "bert", **tiny_shape})
        options = {"dim": 32 * len(pooling), "max_tokens": 40, **options}
        tokens = Tokenizer.from_json(tiny_tokenizer)
        return Tower(backbone, build_pool(pooling), tokenizer=tokens, **options).eval()

    return build


def vectors_of(module: nn.Module, texts: list[str] = TEXTS) -> np.ndarray:
    tokens = module.tokenizer.encode_batch(texts, max_tokens=module.max_tokens)
    ids, mask = (torch.from_numpy(one) for one in tokens.padded())
    with torch.inference_mode():
        return module(ids, mask).numpy()


def operators(artifact: Artifact) -> list[str]:
    graph = onnx.load(artifact.directory / MODEL, load_external_data=False).graph
    return [node.op_type for node in graph.node]


def test_every_pooling_of_sentence_transformers_is_sealed_as_it_is_computed(tmp_path, tower):
    """All at once, which is also how concatenated pools are spelled there."""
    module = tower(list(POOLS))
    artifact = export(module, tmp_path / "out")
    got = Encoder.load(tmp_path / "out").encode(TEXTS)
    np.testing.assert_allclose(got, vectors_of(module), atol=1e-5)
    assert artifact.manifest.pooling == list(POOLS)
    assert not artifact.manifest.normalized


def test_one_fused_attention_node_a_layer(tiny_artifact):
    counts = operators(Artifact.load(tiny_artifact))
    assert counts.count("Attention") == 2
    assert "Softmax" not in counts


def test_weights_exist_once_outside_the_graph(tiny_artifact, tiny_tower):
    weights = sum(one.nbytes for one in tiny_tower.state_dict().values())
    assert (tiny_artifact / WEIGHTS).stat().st_size < 1.1 * weights + 8192
    assert (tiny_artifact / MODEL).stat().st_size < 65_536


def test_every_steps_deviation_is_stored(tiny_artifact):
    deviations = Artifact.load(tiny_artifact).manifest.deviations
    assert set(deviations) == {"traced", "fused", "batched", "sealed"}
    assert max(deviations.values()) < 1e-5


def test_a_module_is_left_as_it_was(tmp_path, tower):
    module = tower(["cls"]).train()
    export(module, tmp_path / "out")
    assert module.training
    assert all(weight.requires_grad for weight in module.parameters())


def test_sealing_twice_gives_the_same_bytes(tmp_path, tower):
    module = tower(["mean"])
    first, second = (export(module, tmp_path / name) for name in ("a", "b"))
    assert first.fingerprint == second.fingerprint
    for path in first.directory.iterdir():
        assert path.read_bytes() == (second.directory / path.name).read_bytes(), path.name


@pytest.mark.parametrize("head", [[], [{"linear": [64, 8, True]}, {"activation": "Tanh"}]])
def test_a_transformer_comes_back_bit_for_bit_and_can_be_trained(tmp_path, head, tower):
    dim = 8 if head else 64
    module = tower(["mean", "cls"], dim=dim, head=build_head(head), normalize=bool(head))
    export(module, tmp_path / "out")
    back = learn.load(tmp_path / "out").eval()
    assert back.state_dict().keys() == module.state_dict().keys()
    for name, weight in module.state_dict().items():
        assert torch.equal(back.state_dict()[name], weight), name
    np.testing.assert_array_equal(vectors_of(back), vectors_of(module))
    assert (back.dim, back.max_tokens) == (dim, 40)
    back.train()(torch.tensor([[2, 5, 3]]), torch.ones(1, 3, dtype=torch.int64)).sum().backward()
    assert all(weight.grad is not None for weight in back.parameters() if weight.requires_grad)


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": {"model_type": "bert", "hidden_size": 48}},
        {"backbone": {"model_type": "nothing"}},
        {"pooling": ["median"]},
        {"weights": {"backbone": ["absent", False, 0]}},
    ],
)
def test_a_description_that_does_not_fit_is_a_format_error(tiny_artifact, change):
    artifact = Artifact.load(tiny_artifact)
    other = replace(artifact.manifest, module={**artifact.manifest.module, **change})
    with pytest.raises(FormatError, match=r"artifact\.json describes no module"):
        restore(replace(artifact, manifest=other))


def test_what_comes_back_can_be_sealed_again_to_the_same_encoder(tiny_artifact, tmp_path):
    back = restore(Artifact.load(tiny_artifact))
    prompts = {"query": "query: ", "passage": "the "}
    again = export(back, tmp_path / "again", prompts=prompts)
    assert again.fingerprint == Artifact.load(tiny_artifact).fingerprint


FAMILIES = {
    "bert": {},
    "roberta": {"pad_token_id": 1, "max_position_embeddings": 66},
    "xlm-roberta": {"pad_token_id": 1, "max_position_embeddings": 66},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "electra": {"embedding_size": 32},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_fuse_and_their_positions_survive_padding(
    tiny_tokenizer, tmp_path, family, tiny_shape
):
    torch.manual_seed(2)
    backbone = Backbone.from_config({"model_type": family, **tiny_shape, **FAMILIES[family]})
    module = Tower(
        backbone,
        pool.mean,
        dim=32,
        tokenizer=Tokenizer.from_json(tiny_tokenizer),
        max_tokens=backbone.max_positions,
    ).eval()
    artifact = export(module, tmp_path / "out")
    assert operators(artifact).count("Attention") == 2
    encoder = Encoder.load(tmp_path / "out")
    alone = np.stack([encoder.encode(text) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode(TEXTS), alone, atol=1e-5)
    np.testing.assert_allclose(alone, vectors_of(module), atol=1e-5)


def test_unfused_attention_is_refused_with_its_counts_and_accepted_when_asked(
    tiny_tokenizer, tmp_path, tiny_shape
):
    torch.manual_seed(3)
    backbone = Backbone.from_config({"model_type": "mpnet", **tiny_shape, "pad_token_id": 1})
    module = Tower(
        backbone, pool.mean, dim=32, tokenizer=Tokenizer.from_json(tiny_tokenizer), max_tokens=40
    ).eval()
    with pytest.raises(ValueError, match=r"fused 0 of 2 attention layers .*--allow-unfused"):
        export(module, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    export(module, tmp_path / "out", allow_unfused=True)
    np.testing.assert_allclose(
        Encoder.load(tmp_path / "out").encode(TEXTS), vectors_of(module), atol=1e-5
    )


class Straying(nn.Module):
    """A module whose trace keeps the batch it was traced with."""

    dim, max_tokens = 4, 8

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.table = nn.Embedding(224, 4)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        states = self.table(ids) * mask[..., None]
        return states.sum(1) * (1.0 if ids.numel() % 2 else 1.0 + 1e-3)


def test_a_graph_that_strays_from_its_module_is_refused(tiny_tokenizer, tmp_path):
    with pytest.raises(ValueError, match=r"tracing changed a coordinate by .*, and at most 1e-04"):
        export(Straying(Tokenizer.from_json(tiny_tokenizer)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_module_of_ones_own_is_sealed_but_cannot_be_loaded_back(tiny_tokenizer, tmp_path):
    class Own(Straying):
        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return (self.table(ids) * mask[..., None]).sum(1)

    export(Own(Tokenizer.from_json(tiny_tokenizer)), tmp_path / "out")
    assert verify(tmp_path / "out").ok
    with pytest.raises(FormatError, match="does not say how its module is built"):
        learn.load(tmp_path / "out")


def test_a_vocabulary_larger_than_the_model_is_refused(tmp_path, tower):
    torch.manual_seed(0)
    module = tower(["mean"])
    module.backbone.model.resize_token_embeddings(100)
    with pytest.raises(ValueError, match="the tokenizer gives ids up to"):
        export(module, tmp_path / "out")


def test_an_embedder_without_tokenizer_or_length_is_refused(tmp_path, tower):
    module = tower(["mean"])
    module.tokenizer = None
    with pytest.raises(ValueError, match=r"Tower\.tokenizer is not set"):
        export(module, tmp_path / "out")


def test_an_existing_directory_is_refused_before_any_work(tiny_artifact, tiny_tower):
    with pytest.raises(FileExistsError, match="written once"):
        export(tiny_tower, tiny_artifact)


def test_a_static_encoder_is_sealed_rounded_and_comes_back(tiny_tokenizer, tmp_path):
    module = learn.StaticEncoder(torch.randn(224, 16), torch.rand(224))
    (tmp_path / "tokenizer.json").write_text(tiny_tokenizer)
    artifact = seal_static(module, tmp_path / "tokenizer.json", tmp_path / "out", max_tokens=40)
    assert artifact.manifest.engine == "static"
    assert artifact.manifest.normalized
    assert 0 < artifact.manifest.deviations["quantized"] < 0.01
    assert (tmp_path / "out" / MODEL).stat().st_size < 4096
    back = learn.load(tmp_path / "out")
    np.testing.assert_allclose(
        vectors_of(back), Encoder.load(tmp_path / "out").encode(TEXTS), atol=1e-6
    )
    again = export(back, tmp_path / "again")
    assert (tmp_path / "again" / WEIGHTS).read_bytes() == (tmp_path / "out" / WEIGHTS).read_bytes()
    assert again.fingerprint == artifact.fingerprint


def test_rows_of_zeros_survive_rounding(tiny_tokenizer, tmp_path):
    table = torch.randn(224, 16)
    table[100] = 0
    module = learn.StaticEncoder(table, tokenizer=Tokenizer.from_json(tiny_tokenizer), max_tokens=9)
    export(module, tmp_path / "out")
    assert verify(tmp_path / "out").ok
    assert json.loads((tmp_path / "out" / "artifact.json").read_text())["engine"] == "static"
    assert Path(tmp_path / "out" / "golden.safetensors").exists()
