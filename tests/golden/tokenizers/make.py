"""Write the tokenizers and ids of this folder, with the pinned release of `tokenizers`.

    python tests/golden/tokenizers/make.py path/to/bert-base-uncased/tokenizer.json[.gz]

Three small tokenizers, trained on this repository's LICENSE (the Apache licence), cover the
families WordPiece, byte-level BPE and Unigram. The ids of bert-base-uncased (Apache-2.0,
google-research/bert) are stored without the tokenizer, which the built-in encoder brings.
"""

import gzip
import json
import sys
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent
RELEASE = "0.23.3"
TEXTS = [
    "",
    " ",
    "The quick brown fox licenses 1,234.5 works; don't warranty!",
    "UPPER lower Title naïve façade Straße ﬁne ǅ",
    "  two  spaces\tand\na line\r\n",
    "한국어 日本語 中文 العربية עברית ไทย हिन्दी",
    "👩🏽‍💻 🇫🇷 ❤️ e\u0301 \u200b\ufeff\u00ad\0\x1b",
    "[CLS] a [MASK]ed</s> <s>word <unk>",
    "in-word[SEP]token",
    "antidisestablishmentarianism" * 4,
    "https://example.org/a?b=c&d=%20#e f_g.h(i[0]) != j->k;",
]


def trained(name, model, trainer, **parts):
    tokenizer = tokenizers.Tokenizer(model)
    for part, value in parts.items():
        setattr(tokenizer, part, value)
    tokenizer.train([str(HERE.parents[2] / "LICENSE")], trainer)
    tokenizer.save(str(HERE / f"{name}.json"), pretty=False)
    return tokenizer


def wordpiece():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = trained(
        "wordpiece",
        models.WordPiece(unk_token="[UNK]"),
        trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False),
        normalizer=normalizers.BertNormalizer(),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        decoder=decoders.WordPiece(),
        post_processor=processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)),
    )
    tokenizer.enable_truncation(32)
    tokenizer.enable_padding(pad_token="[PAD]")
    tokenizer.save(str(HERE / "wordpiece.json"), pretty=False)
    return tokenizer


def byte_level_bpe():
    return trained(
        "byte_level_bpe",
        models.BPE(),
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoder=decoders.ByteLevel(),
        post_processor=processors.RobertaProcessing(("</s>", 1), ("<s>", 0)),
    )


def unigram():
    return trained(
        "unigram",
        models.Unigram(),
        trainers.UnigramTrainer(
            vocab_size=300, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
        ),
        normalizer=normalizers.NFKC(),
        pre_tokenizer=pre_tokenizers.Metaspace(),
        decoder=decoders.Metaspace(),
        post_processor=processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)]),
    )


def rows(tokenizer):
    """Ids without padding, and their characters."""
    encoded = [tokenizer.encode(text) for text in TEXTS]
    kept = [[i for i, seen in enumerate(row.attention_mask) if seen] for row in encoded]
    both = list(zip(encoded, kept, strict=True))
    return {
        "ids": [[row.ids[i] for i in keep] for row, keep in both],
        "offsets": [[row.offsets[i] for i in keep] for row, keep in both],
    }


def main(bert):
    if tokenizers.__version__ != RELEASE:
        raise SystemExit(f"needs tokenizers {RELEASE}; this is {tokenizers.__version__}")
    opener = gzip.open if bert.suffix == ".gz" else open
    with opener(bert, "rt", encoding="utf-8") as file:
        base = tokenizers.Tokenizer.from_str(file.read())
    made = {"wordpiece": wordpiece(), "byte_level_bpe": byte_level_bpe(), "unigram": unigram()}
    golden = {
        "release": f"tokenizers {RELEASE}",
        "texts": TEXTS,
        "rows": {name: rows(one) for name, one in made.items()} | {"bert-base-uncased": rows(base)},
    }
    text = json.dumps(golden, separators=(",", ":"))
    (HERE / "ids.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
