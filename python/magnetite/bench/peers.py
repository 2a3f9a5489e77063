"""Other libraries, each imported when it is first asked for something.

Which settings: those that an earlier study of these libraries on such vectors found worth having;
the factories that lost everywhere (plain IVF, SQ8 lists, 8-bit codes, RaBitQ) are left out.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from magnetite.bench.curve import Setting
from magnetite.bench.data import Floats, Found
from magnetite.bench.systems import Way
from magnetite.extras import need

PROBES = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
K_FACTORS = (2, 4, 10, 20)
BREADTHS = (10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)  # of a graph search


def library(name: str) -> Any:
    """Return a peer's module."""
    return need(name, extra="bench", purpose="a comparison")


@dataclass(frozen=True)
class Faiss:
    """An index factory of FAISS."""

    factory: str
    way: Way
    construction: int = 128  # breadth of a graph's build
    ours: bool = False

    @property
    def name(self) -> str:
        """The factory string."""
        return f"faiss {self.factory}"

    def version(self) -> str:
        """Return the version of faiss-cpu."""
        return metadata.version("faiss-cpu")

    def build(self, vectors: Floats, threads: int) -> Any:
        """Train and add."""
        faiss = library("faiss")
        faiss.omp_set_num_threads(threads)
        index = faiss.index_factory(vectors.shape[1], self.factory, faiss.METRIC_INNER_PRODUCT)
        if self.way == "graph":
            index.hnsw.efConstruction = self.construction
        index.train(vectors)
        index.add(vectors)
        return index

    def write(self, index: Any, path: Path) -> int:
        """Write one file."""
        library("faiss").write_index(index, str(path))
        return path.stat().st_size

    def read(self, path: Path, vectors: Floats) -> Any:  # noqa: ARG002
        """Read it into memory."""
        return library("faiss").read_index(str(path))

    def settings(self, index: Any) -> Sequence[Setting]:
        """Probes and how many codes to re-score; breadths of a graph."""
        if self.way == "exact":
            return [()]
        if self.way == "graph":
            return [(breadth,) for breadth in BREADTHS]
        faiss = library("faiss")
        lists = faiss.extract_index_ivf(index.base_index).nlist
        probes = [count for count in PROBES if count <= lists]
        return [(count, factor) for factor in K_FACTORS for count in probes]

    def say(self, setting: Setting) -> str:
        """Name the knobs."""
        names = ("efSearch",) if self.way == "graph" else ("nprobe", "k_factor")
        return " ".join(f"{name}={value}" for name, value in zip(names, setting, strict=False))

    def search(self, index: Any, queries: Floats, k: int, setting: Setting, threads: int) -> Found:
        """Search."""
        faiss = library("faiss")
        faiss.omp_set_num_threads(threads)
        if self.way == "graph":
            index.hnsw.efSearch = setting[0]
        elif setting:
            faiss.extract_index_ivf(index.base_index).nprobe = setting[0]
            index.k_factor = setting[1]
        found: Found = index.search(queries, k)[1]
        return found


@dataclass(frozen=True)
class Hnswlib:
    """The graph of hnswlib."""

    links: int
    way: Way = "graph"
    ours: bool = False

    @property
    def name(self) -> str:
        """With its links a node."""
        return f"hnswlib M={self.links}"

    def version(self) -> str:
        """Return the version of hnswlib."""
        return metadata.version("hnswlib")

    def build(self, vectors: Floats, threads: int) -> Any:
        """Add all rows."""
        index = library("hnswlib").Index(space="ip", dim=vectors.shape[1])
        index.init_index(max_elements=len(vectors), M=self.links, ef_construction=200)
        index.add_items(vectors, num_threads=threads)
        return index

    def write(self, index: Any, path: Path) -> int:
        """Write one file."""
        index.save_index(str(path))
        return path.stat().st_size

    def read(self, path: Path, vectors: Floats) -> Any:
        """Read it into memory."""
        index = library("hnswlib").Index(space="ip", dim=vectors.shape[1])
        index.load_index(str(path))
        return index

    def settings(self, index: Any) -> Sequence[Setting]:  # noqa: ARG002
        """Breadths."""
        return [(breadth,) for breadth in BREADTHS]

    def say(self, setting: Setting) -> str:
        """Name the knob."""
        return f"ef={setting[0]}"

    def search(self, index: Any, queries: Floats, k: int, setting: Setting, threads: int) -> Found:
        """Search."""
        index.set_ef(max(setting[0], k))
        found: Found = index.knn_query(queries, k=k, num_threads=threads)[0].astype(np.int64)
        return found


@dataclass(frozen=True)
class Usearch:
    """The graph of usearch."""

    dtype: str
    way: Way = "graph"
    ours: bool = False

    @property
    def name(self) -> str:
        """With its numbers' type."""
        return f"usearch {self.dtype} M=32"

    def version(self) -> str:
        """Return the version of usearch."""
        return metadata.version("usearch")

    def build(self, vectors: Floats, threads: int) -> Any:
        """Add all rows."""
        index = library("usearch.index").Index(
            ndim=vectors.shape[1],
            metric="ip",
            dtype=self.dtype,
            connectivity=32,
            expansion_add=128,
        )
        index.add(np.arange(len(vectors)), vectors, threads=threads)
        return index

    def write(self, index: Any, path: Path) -> int:
        """Write one file."""
        index.save(str(path))
        return path.stat().st_size

    def read(self, path: Path, vectors: Floats) -> Any:  # noqa: ARG002
        """Read it into memory."""
        return library("usearch.index").Index.restore(str(path))

    def settings(self, index: Any) -> Sequence[Setting]:  # noqa: ARG002
        """Breadths."""
        return [(breadth,) for breadth in BREADTHS]

    def say(self, setting: Setting) -> str:
        """Name the knob."""
        return f"expansion={setting[0]}"

    def search(self, index: Any, queries: Floats, k: int, setting: Setting, threads: int) -> Found:
        """Search; one query comes back as one row."""
        index.expansion_search = setting[0]
        keys = index.search(queries, k, threads=threads).keys
        found: Found = np.asarray(keys).reshape(len(queries), -1).astype(np.int64)
        return found


@dataclass(frozen=True)
class Scann:
    """Tree, anisotropic codes and exact re-scoring of ScaNN."""

    leaves: int
    way: Way = "lists"
    ours: bool = False

    @property
    def name(self) -> str:
        """With its leaves."""
        return f"scann {self.leaves} leaves"

    def version(self) -> str:
        """Return the version of scann."""
        return metadata.version("scann")

    def build(self, vectors: Floats, threads: int) -> Any:
        """Train and encode."""
        builder = library("scann").scann_ops_pybind.builder(vectors, 10, "dot_product")
        sample = min(len(vectors), 250_000)
        tree = builder.tree(
            num_leaves=self.leaves, num_leaves_to_search=16, training_sample_size=sample
        )
        codes = tree.score_ah(2, anisotropic_quantization_threshold=0.2)
        return codes.reorder(100).set_n_training_threads(threads).build()

    def write(self, index: Any, path: Path) -> int:
        """Write a folder; the vectors are in it."""
        path.mkdir()
        index.serialize(str(path))
        return sum(file.stat().st_size for file in path.iterdir())

    def read(self, path: Path, vectors: Floats) -> Any:  # noqa: ARG002
        """Read it into memory."""
        return library("scann").scann_ops_pybind.load_searcher(str(path))

    def settings(self, index: Any) -> Sequence[Setting]:  # noqa: ARG002
        """Leaves and how many codes to re-score."""
        leaves = [count for count in PROBES if count <= self.leaves]
        return [(count, rescore) for rescore in (40, 100, 200) for count in leaves]

    def say(self, setting: Setting) -> str:
        """Name the knobs."""
        return f"leaves={setting[0]} reorder={setting[1]}"

    def search(self, index: Any, queries: Floats, k: int, setting: Setting, threads: int) -> Found:
        """Search; a single query by the call made for it."""
        options = {"leaves_to_search": setting[0], "pre_reorder_num_neighbors": setting[1]}
        if len(queries) == 1:
            found = index.search(queries[0], final_num_neighbors=k, **options)[0][None]
        elif threads == 1:
            found = index.search_batched(queries, final_num_neighbors=k, **options)[0]
        else:
            index.set_num_threads(threads)
            found = index.search_batched_parallel(queries, final_num_neighbors=k, **options)[0]
        ids: Found = found.astype(np.int64)
        return ids


@dataclass(frozen=True)
class Brute:
    """Exact search over the array itself."""

    name: str
    package: str
    function: Callable[[Floats, Floats, int, int], Found]
    way: Way = "exact"
    ours: bool = False

    def version(self) -> str:
        """Return the version of the package."""
        return metadata.version(self.package)

    def build(self, vectors: Floats, threads: int) -> Floats:  # noqa: ARG002
        """The array is the index."""
        library(self.package)
        return vectors

    def write(self, index: Floats, path: Path) -> int:
        """Nothing to write."""
        path.touch()
        return index.nbytes

    def read(self, path: Path, vectors: Floats) -> Floats:  # noqa: ARG002
        """The array."""
        return vectors

    def settings(self, index: Floats) -> Sequence[Setting]:  # noqa: ARG002
        """Nothing to set."""
        return [()]

    def say(self, setting: Setting) -> str:  # noqa: ARG002
        """Nothing to say."""
        return ""

    def search(
        self,
        index: Floats,
        queries: Floats,
        k: int,
        setting: Setting,  # noqa: ARG002
        threads: int,
    ) -> Found:
        """Search."""
        return self.function(index, queries, k, threads)


def by_numpy(vectors: Floats, queries: Floats, k: int, threads: int) -> Found:  # noqa: ARG001
    """Blocks of scores by matrix multiplication, then a partition of each row."""
    found = []
    for start in range(0, len(queries), 64):
        scores = queries[start : start + 64] @ vectors.T
        best = np.argpartition(scores, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        found.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(found)


def by_torch(vectors: Floats, queries: Floats, k: int, threads: int) -> Found:
    """The same by torch."""
    torch = library("torch")
    torch.set_num_threads(threads)
    base = torch.from_numpy(vectors)
    with torch.inference_mode():
        blocks = torch.from_numpy(queries).split(64)
        best = [torch.topk(block @ base.T, k).indices for block in blocks]
        found: Found = torch.cat(best).numpy()
    return found


def by_usearch(vectors: Floats, queries: Floats, k: int, threads: int) -> Found:
    """The exact search of usearch."""
    index = library("usearch.index")
    keys = index.search(vectors, queries, k, metric="ip", exact=True, threads=threads).keys
    return np.asarray(keys).reshape(len(queries), -1).astype(np.int64)


def exact(libraries: Sequence[str]) -> list[Any]:
    """Return the peers of exact search."""
    peers: list[Any] = [Brute("numpy", "numpy", by_numpy)]
    if "faiss" in libraries:
        peers.append(Faiss("Flat", "exact"))
    if "usearch" in libraries:
        peers.append(Brute("usearch exact", "usearch", by_usearch))
    with contextlib.suppress(metadata.PackageNotFoundError):
        metadata.version("torch")
        peers.append(Brute("torch", "torch", by_torch))
    return peers


def floats(libraries: Sequence[str], n: int, dim: int, *, thorough: bool) -> list[Any]:
    """Return the peers that keep the originals as they are; `thorough` adds a slow rotation."""
    lists, large = lists_for(n), n > 300_000
    peers: list[Any] = []
    if "faiss" in libraries:
        fine, coarse = parts(dim, 2), parts(dim, 4)
        factories = [f"IVF{lists},PQ{coarse}x4fs,RFlat", f"IVF{lists},PQ{fine}x4fs,RFlat"]
        if not large:  # hours of training beyond
            factories += [
                f"IVF{lists // 2},PQ{fine}x4fs,RFlat",
                f"IVF{2 * lists},PQ{fine}x4fs,RFlat",
            ]
        if thorough and not large:
            factories.append(f"OPQ{coarse}_{2 * coarse},IVF{lists},PQ{coarse}x4fs,RFlat")
        peers += [Faiss(factory, "lists") for factory in factories]
        peers.append(Faiss("HNSW32", "graph", construction=40 if large else 128))
    if "hnswlib" in libraries:
        peers += [Hnswlib(16), Hnswlib(32)]
    if "usearch" in libraries:
        peers.append(Usearch("f32"))
    if "scann" in libraries:
        peers += [Scann(2_000)] if large else [Scann(512), Scann(1_024)]
    return peers


def integers(libraries: Sequence[str], n: int, dim: int) -> list[Any]:
    """Return the peers that keep a byte a number."""
    lists, large = lists_for(n), n > 300_000
    peers: list[Any] = []
    if "faiss" in libraries:
        fine, coarse = parts(dim, 2), parts(dim, 4)
        peers += [
            Faiss(f"IVF{lists // 2},PQ{coarse}x4fs,Refine(SQ8)", "lists"),
            Faiss(f"IVF{lists},PQ{coarse}x4fs,Refine(SQ8)", "lists"),
            Faiss(f"IVF{lists},PQ{fine}x4fs,Refine(SQ8)", "lists"),
            Faiss("HNSW32_SQ8", "graph", construction=40 if large else 128),
        ]
    if "usearch" in libraries:
        peers.append(Usearch("i8"))
    return peers


def lists_for(n: int) -> int:
    """Return how many lists serve `n` rows: 512 of 111,067, 2,048 of a million."""
    return int(2 ** np.ceil(np.log2(1.5 * np.sqrt(n))))


def parts(dim: int, columns: int) -> int:
    """Return how many parts of about `columns` columns divide `dim`."""
    return next(count for count in range(max(1, dim // columns), 0, -1) if dim % count == 0)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what a library writes to the standard error from the table (scann says much)."""
    kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)
