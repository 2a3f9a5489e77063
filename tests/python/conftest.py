"""Fixtures that every test may use."""

import json
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

SHARED = Path(__file__).parents[3] / "shared" / "data"


def pytest_configure() -> None:
    """Let SIGINT through where a run in the background ignores it; in CI, draw the same cases."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Whether a change passes is no matter of luck; everybody else's runs draw new cases.
    settings.register_profile("ci", derandomize=True)
    if "CI" in os.environ:
        settings.load_profile("ci")


@pytest.fixture(scope="session")
def prompt_s() -> float:
    """How late Ctrl-C may come: 100 ms are promised; a second, of works of many, bears any load."""
    return 0.1 if "MAGNETITE_TEST_FULL" in os.environ else 1.0


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data sets beside the repository; its tests skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("SKIPPED LOUDLY: no ../shared/data beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def tiny_tokenizer() -> str:
    """A tokenizer.json that splits words into letters, with BERT's special tokens."""
    letters = [chr(code) for code in (*range(33, 127), 228, 233, 252, 1078, 29399)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "magnet", "iron", "of", "##ic"]
    vocab = [*words, *letters, *("##" + letter for letter in letters)]
    specials = [
        {"id": i, "content": word, "special": True, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        for i, word in enumerate(words[:5])
    ]
    frame = [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": specials,
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": True,
                "strip_accents": None,
                "lowercase": True,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": frame,
                "pair": [
                    *frame,
                    {"Sequence": {"id": "B", "type_id": 1}},
                    {"SpecialToken": {"id": "[SEP]", "type_id": 1}},
                ],
                "special_tokens": {
                    word: {"id": word, "ids": [i], "tokens": [word]}
                    for i, word in ((2, "[CLS]"), (3, "[SEP]"))
                },
            },
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {
                "type": "WordPiece",
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": {word: i for i, word in enumerate(vocab)},
            },
        }
    )


@pytest.fixture(scope="session")
def tiny_shape() -> dict[str, object]:
    """The shape of a BERT of two layers, for the words of `tiny_tokenizer`."""
    return {
        "vocab_size": 224,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "initializer_range": 0.5,
    }


@pytest.fixture(scope="session")
def tiny_tower(tiny_tokenizer: str, tiny_shape: dict[str, object]):
    """A BERT of two layers with random weights, mean pooling and normalisation."""
    torch = pytest.importorskip("torch")
    from magnetite.learn.encoders import Tower, pool
    from magnetite.learn.encoders.backbone import Backbone
    from magnetite.text import Tokenizer

    torch.manual_seed(0)
    backbone = Backbone.from_config({"model_type": "bert", **tiny_shape})
    tokenizer = Tokenizer.from_json(tiny_tokenizer)
    return Tower(
        backbone, pool.mean, dim=32, normalize=True, tokenizer=tokenizer, max_tokens=48
    ).eval()


@pytest.fixture(scope="session")
def tiny_artifact(tiny_tower, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX artifact of `tiny_tower`, with prompts; not to be changed."""
    from magnetite.learn.export import export

    out = tmp_path_factory.mktemp("artifacts") / "tiny"
    export(tiny_tower, out, prompts={"query": "query: ", "passage": "the "})
    return out


@pytest.fixture(scope="session")
def tiny_static_artifact(tiny_tokenizer: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact of the static engine, random; not to be changed."""
    torch = pytest.importorskip("torch")
    from magnetite.learn.encoders import StaticEncoder
    from magnetite.learn.export import seal_static

    folder = tmp_path_factory.mktemp("artifacts")
    tokenizer = json.loads(tiny_tokenizer) | {"post_processor": None}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    random = torch.Generator().manual_seed(0)
    module = StaticEncoder(
        torch.randn(224, 16, generator=random), torch.rand(224, generator=random)
    )
    seal_static(module, folder / "tokenizer.json", folder / "static", max_tokens=48)
    return folder / "static"
