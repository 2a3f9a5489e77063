"""Cross-encoders that transformers saved become artifacts that give its scores."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from magnetite import cli
from magnetite.encode import CrossEncoder
from magnetite.learn import load
from magnetite.learn.export import export

torch.set_num_threads(1)

TEXTS = ["iron", "the magnet of iron!", "", "x" * 90, "a b c d e f g", "ünïcode ж 猫"]
PAIRS = [(query, document) for query in TEXTS[:3] for document in TEXTS]
FAMILIES = {
    "bert": ("BertConfig", {}),
    "distilbert": ("DistilBertConfig", {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}),
    "electra": ("ElectraConfig", {"embedding_size": 32}),
    "roberta": ("RobertaConfig", {"type_vocab_size": 1, "pad_token_id": 0}),
}


@pytest.fixture
def save(tiny_tokenizer, tmp_path):
    """Write what transformers saves of a tiny model that classifies pairs."""

    def write(family: str = "bert", labels: int = 1) -> Path:
        import transformers

        name, more = FAMILIES[family]
        shape = {
            "vocab_size": len(json.loads(tiny_tokenizer)["model"]["vocab"]),
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 66,
            "num_labels": labels,
        }
        torch.manual_seed(2)
        config = getattr(transformers, name)(**(shape | more))
        model = transformers.AutoModelForSequenceClassification.from_config(config)
        for weight in model.parameters():  # far from its beginnings, where all scores are alike
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.2)
        model.save_pretrained(tmp_path / "model")
        (tmp_path / "model" / "tokenizer.json").write_text(tiny_tokenizer)
        said = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64}
        said |= {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
        said |= {"sep_token": "[SEP]", "mask_token": "[MASK]"}
        types = ["token_type_ids"] if family in ("bert", "electra") else []
        said["model_input_names"] = ["input_ids", *types, "attention_mask"]
        (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps(said))
        return tmp_path / "model"

    return write


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_sentence_transformers(save, tmp_path, family):
    from sentence_transformers import CrossEncoder as Theirs

    folder = save(family)
    artifact = export(folder, tmp_path / "out")
    ours = CrossEncoder.load(tmp_path / "out", cut="longest")
    wanted = Theirs(str(folder), device="cpu", activation_fn=torch.nn.Identity()).predict(PAIRS)
    np.testing.assert_allclose(ours.predict(PAIRS), wanted, rtol=0, atol=1e-5)
    assert np.ptp(wanted) > 0.02
    assert max(artifact.manifest.deviations.values()) < 1e-4 * max(1, np.abs(wanted).max())
    query, documents = TEXTS[1], TEXTS
    theirs = Theirs(str(folder), device="cpu", activation_fn=torch.nn.Sigmoid())
    ranked = ours.rank(query, documents, activation="sigmoid")
    scores = [one["score"] for one in theirs.rank(query, documents)]
    np.testing.assert_allclose([one["score"] for one in ranked], scores, atol=1e-5)


def test_what_is_sealed_can_be_trained_on(save, tmp_path):
    export(save(), tmp_path / "out")
    again = load(tmp_path / "out")
    export(again, tmp_path / "again")
    first, second = (CrossEncoder.load(tmp_path / name) for name in ("out", "again"))
    np.testing.assert_array_equal(first.predict(PAIRS), second.predict(PAIRS))
    assert first.fingerprint == second.fingerprint


def test_more_than_one_label_is_refused(save, tmp_path):
    with pytest.raises(ValueError, match="gives 3 labels"):
        export(save(labels=3), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_verbs_say_what_was_sealed_and_verify_it(save, tmp_path):
    run = CliRunner().invoke
    folder, out = str(save()), str(tmp_path / "out")
    done = run(cli.main, ["export", folder, "-o", out], catch_exceptions=False)
    assert done.output.strip().endswith("sealed, cross-encoder, fp32")
    done = run(cli.main, ["verify", out, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    assert json.loads(done.output)["ok"]
