"""What Collection costs beyond encoding and an index: filling, searching, conditions.

python benches/python/collection.py [CORPUS.jsonl(.gz)]: SciFact unless another is given.
Both sides run in turn; medians of the rounds. Seconds are the wall's, so give the machine to it
alone; `processor` is what all threads took together, which neighbours change less.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from magnetite import Collection, Document, Encoder, Index
from magnetite.cli.corpus import documents_of
from magnetite.demo.data import FOLDER
from magnetite.index.collection.similarity import comparable


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", nargs="?", type=Path, default=FOLDER / "corpus.jsonl.gz")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int)
    asked = parser.parse_args()
    encoder = Encoder.load(threads=asked.threads)
    documents = list(documents_of(asked.corpus))
    for at, document in enumerate(documents):
        documents[at] = Document(
            document.id, document.text, document.title, {"n": at, "tenth": at % 10}
        )
    print(f"{len(documents):,} documents, {encoder}")
    filling(encoder, documents, asked.rounds, asked.threads)
    searching(encoder, documents, asked.threads)


def filling(encoder: Encoder, documents: list[Document], rounds: int, threads: int | None) -> None:
    """Print what it takes to encode, index and save, and what a collection takes for it."""
    plain = [Document(one.id, one.text, one.title) for one in documents]
    metric, normalize = comparable(encoder)

    def bare(root: Path) -> None:
        rows = encoder.encode_document([one.passage for one in plain], normalize=normalize)
        index = Index.build(rows, metric=metric, encoder=encoder.fingerprint, threads=threads)
        index.save(root / "index")

    def filled(given: list[Document]) -> Callable[[Path], None]:
        def fill(root: Path) -> None:
            with Collection.create(root / "here", encoder, threads=threads) as collection:
                collection.upsert(given)
                collection.compact()

        return fill

    ways = {
        "encode, Index.build, save": bare,
        "Collection.upsert, compact": filled(plain),
        "the same with two fields of metadata": filled(documents),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            with tempfile.TemporaryDirectory() as root:
                start, busy = time.perf_counter(), time.process_time()
                work(Path(root))
                times[name].append(time.perf_counter() - start)
                processor[name].append(time.process_time() - busy)
    base = times["encode, Index.build, save"]
    for name, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(seconds, base, strict=True))
        rate = len(documents) / statistics.median(seconds)
        each = 1e6 * statistics.median(processor[name]) / len(documents)
        print(
            f"{name:38} {rate:9,.0f} documents/s, {ratio:.2f} x the first; {each:.0f} µs processor"
        )
    with tempfile.TemporaryDirectory() as root:
        filled(documents)(Path(root))
        with Collection.open(Path(root) / "here", encoder, threads=threads) as collection:
            start, busy = time.perf_counter(), time.process_time()
            collection.upsert(documents)
            rate = len(documents) / (time.perf_counter() - start)
            each = 1e6 * (time.process_time() - busy) / len(documents)
            name = "upsert of what has not changed"
            print(f"{name:38} {rate:9,.0f} documents/s; {each:.0f} µs processor")


def searching(encoder: Encoder, documents: list[Document], threads: int | None) -> None:
    """Print the median time of a search, one query at a time, bare and of a collection."""
    queries = [" ".join(one.passage.split()[:12]) for one in documents[:: len(documents) // 300]]
    with tempfile.TemporaryDirectory() as root:
        collection = Collection.create(Path(root) / "here", encoder, threads=threads)
        collection.upsert(documents)
        collection.compact()
        metric, normalize = comparable(encoder)
        rows = encoder.encode_document([one.passage for one in documents], normalize=normalize)
        index = Index.build(rows, metric=metric, encoder=encoder.fingerprint, threads=threads)
        index.save(Path(root) / "index")
        index = Index.open(Path(root) / "index")  # mapped, as the collection's
        tenth = np.arange(3, len(documents), 10)
        one = {"tenth": 3}

        def encoded(query: str) -> object:
            return encoder.encode_query([query], normalize=normalize)

        ways: dict[str, Callable[[str], object]] = {
            "encode": encoded,
            "encode, Index.search": lambda query: index.search(encoded(query), threads=threads),
            "Collection.search": collection.search,
            "encode, Index.search, filter=": lambda query: index.search(
                encoded(query), filter=tenth, threads=threads
            ),
            "Collection.search, where=": lambda query: collection.search(query, where=one),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for query in queries:
            for name, search in ways.items():
                start = time.perf_counter()
                search(query)
                times[name].append(time.perf_counter() - start)
        for name, seconds in times.items():
            print(f"{name:38} {1000 * statistics.median(seconds):9.3f} ms")
        collection.close()


if __name__ == "__main__":
    main()
