"""Search by a slow scorer: the best items for a fixed number of its calls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from tqdm import tqdm

from magnetite import _core
from magnetite.index import arguments
from magnetite.index.cur import asking, factors, kept
from magnetite.index.cur import rounds as plans
from magnetite.index.cur.about import About
from magnetite.index.cur.texts import Texts

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from numpy.typing import ArrayLike, NDArray

    from magnetite.index.arguments import Filter, Ids
    from magnetite.index.cur.asking import Paid
    from magnetite.index.cur.build import Encodes, Method
    from magnetite.index.cur.choose import Chosen
    from magnetite.index.cur.hits import CurHits
    from magnetite.index.dense import Storage

    Items = Mapping[Any, Any]

#: What a search takes that neither its caller nor the index says otherwise.
DEFAULTS: dict[str, Any] = {
    "rounds": 5,
    "split": 0,
    "regularize": 0.0,
    "ridge": 1e-6,
    "noise": 0.0,
    "temperature": None,
    "lead": 0.0,  # part of the budget for the first round; the index's own, no argument
}


class CurIndex:
    """Items with factors, in whose space a query's vector is regressed on what a scorer says.

    Every item has a row of factors V; a query becomes a vector u, with V·u about what it scores.
    `search` scores some items, regresses u on them, scores the items that V·u likes best, and so on
    for some rounds. V = Rᵀ, the columns of a score matrix of anchor queries and all items, gives
    ANNCUR and ADACUR; encoder vectors, or factors of a sparse score matrix, give AXN.
    """

    def __init__(
        self, core: _core.Index, items: Items | Texts | None, about: About, path: Path | None
    ) -> None:
        self._core, self._items, self._about, self._path = core, items, about, path

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str] | None,
        rows: ArrayLike,
        ids: Ids | None = None,
        *,
        items: Sequence[Any] | None = None,
        kind: Literal["flat", "ivf"] | None = None,
        lists: int | None = None,
        parts: int | None = None,
        storage: Storage = "f32",
        method: str | None = None,
        scorer: str | None = None,
        encoder: str | None = None,
        queries: Sequence[Any] = (),
        arrays: Mapping[str, NDArray[Any]] | None = None,
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        threads: int | None = None,
    ) -> CurIndex:
        """Return an index of items whose factors are there; `build` makes them.

        Args:
            path: The directory to make, which is there once all of it is; what is returned is then
                open for writing. None keeps the index in memory.
            rows: V, finite numbers.                                          # [n, dim]
            ids: Names of the items, as in `Index.build`.                     # [n]
            items: What `score` takes for each; texts are kept with the index, anything else must
                be given again when it is opened.                             # [n]
            kind: `flat` estimates every item, `ivf` those in the nearest lists, by codes and then
                by their factors; by default the first below 32,768 items.
            lists: As in `Index.build`.
            parts: As in `Index.build`.
            storage: How factors are kept, as in `Index.build`: u is regressed on what is kept.
            method: What made the factors.
            scorer: Fingerprint of the scorer that they say something of.
            encoder: Fingerprint of the encoder that vectors of queries must come from.
            queries: The anchor queries, by which new items are scored.
            arrays: Maps that make rows of new items and what is believed of queries (`Factors`).
            settings: Arguments of `search` that it takes unless told otherwise.
            seed: As in `Index.build`.
            threads: As in `resolve_threads`; changes no byte.

        Raises:
            ValueError: What `Index.build` refuses, or another number of items than of rows.
            FileExistsError: There is something at `path`.
        """
        rows = arguments.rows(rows, "rows")
        names = None if ids is None else arguments.ids(ids)
        if items is not None and len(items) != len(rows):
            raise ValueError(f"items must be one a row, {len(rows)}; got {len(items)}")
        about = About(
            method=method,
            scorer=scorer,
            encoder=encoder,
            queries=tuple(queries),
            arrays=dict(arrays or {}),
            settings=_settings(settings or {}),
        )
        core = _core.Index.build(
            rows,
            names,
            metric="dot",
            kind=kind,
            lists=lists,
            parts=parts,
            storage=storage,
            encoder=None,
            seed=seed,
            threads=threads,
        )
        called = range(len(rows)) if names is None else plain(names)
        if path is None:
            held = None if items is None else dict(zip(called, items, strict=True))
            return cls(core, held, about, None)
        with kept.made(Path(path)) as place:
            core.save(place / kept.FACTORS)
            if items is not None and _are_texts(items):
                Texts.create(place / kept.ITEMS, called, items)
            kept.write(place, about)
        given = None if items is None else dict(zip(called, items, strict=True))
        return cls.open(path, items=given, writable=True)

    @classmethod
    def build(
        cls,
        score: object,
        items: Sequence[Any],
        queries: Sequence[Any],
        *,
        method: Method = "corrected",
        encoder: Encodes | None = None,
        ids: Ids | None = None,
        calls: int | None = None,
        per_query: int | None = None,
        per_item: int | None = None,
        budget: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        path: str | os.PathLike[str] | None = None,
        scorer: str | None = None,
        storage: Storage = "f32",
        seed: int = 0,
        threads: int | None = None,
        show_progress: bool | None = None,
    ) -> CurIndex:
        """Return an index of items that `score` likes, once it has scored some pairs.

        Args:
            score: A callable `(query, items) -> scores`, or a CrossEncoder.
            items: Whatever the scorer takes for an item; text, if it is to be saved.
            queries: A hundred to some thousand like those to come; no labels are needed.
            method: `corrected`, the default: the encoder is a prior, and what the queries say of
                all items corrects it; works without an encoder, too. `adacur`: these scores as they
                are. `axn`: the encoder's vectors, calibrated. `mf_trns`: these, trained on the
                scores of some items. `mf_ind`: adapters so trained (needs the extra `learn`), which
                take new items without a call.
            encoder: What has `encode`, or a pair of arrays: vectors of queries and of items.
            ids: Names of the items; by default 0 to n − 1.
            calls: The most pairs to pay for. `corrected` and `adacur` score all items for as many
                queries as that affords, the others fewer pairs of each.
            per_query: For the other methods: the items nearest to each query, 100 by default.
            per_item: Or the queries nearest to each item.
            budget: Choose settings for searches of so many calls, on the queries; takes a while.
            checkpoint: Folder of the scores, which outlive the process: the same call goes on.
            path: Directory of the index, open for writing; None keeps it in memory.
            scorer: Name of the scorer; by default its `fingerprint`, if it has one.
            storage: How factors are kept, as in `Index.build`.
            seed: The same seed and scores give the same index.
            threads: As in `resolve_threads`.
            show_progress: Show calls done, rate and time left; by default on a terminal.

        Raises:
            ScorerError: The scorer failed; with a `checkpoint` what was paid for is kept.
            ValueError: A method without what it needs; the message says what.
        """
        from magnetite.index.cur.build import Limits, prepare  # it searches an index to tune one

        if path is not None:
            kept.expect_free(Path(path))
        # Of one number a row: what is wrong with ids or storage is said before a call is paid for.
        cls.create(None, np.ones((len(items), 1)), ids, kind="flat", storage=storage)
        made = prepare(
            score,
            items,
            queries,
            method=method,
            encoder=encoder,
            plan=Limits(calls, per_query, per_item, seed),
            budget=budget,
            checkpoint=checkpoint,
            scorer=scorer,
            threads=threads,
            show_progress=show_progress,
        )
        return cls.create(
            path,
            made.factors.rows,
            ids,
            items=items,
            method=method,
            storage=storage,
            scorer=made.scorer,
            encoder=made.encoder,
            queries=made.anchors,
            arrays=made.factors.arrays,
            settings=made.settings,
            seed=seed,
            threads=threads,
        )

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        verify: Literal["full", "lazy"] = "full",
        *,
        items: Items | None = None,
        writable: bool = False,
    ) -> CurIndex:
        """Return the index at `path`, mapped rather than read: a snapshot of this moment.

        Args:
            path: The directory.
            verify: `full` compares every checksum of the factors now, `lazy` at their first touch;
                a text is compared with its digest whenever it is read.
            items: What `score` takes for each item, by id, if the directory has no texts.
            writable: Take the lock of the one writer; `close` gives it back.

        Raises:
            FormatError: Not an index by a scorer, or one that was changed or truncated.
            OSError: The directory cannot be read, or another writer has the lock.
        """
        if verify not in ("full", "lazy"):
            raise ValueError(f'verify must be "full" or "lazy"; got {verify!r}')
        place = Path(path)
        about = kept.read(place)
        held = Texts(place / kept.ITEMS) if (place / kept.ITEMS).exists() else items
        core = _core.Index.open(place / kept.FACTORS, full=verify == "full", writable=writable)
        return cls(core, held, about, place)

    def close(self) -> None:
        """Give the lock back; the index stays readable. Of no effect without a lock."""
        self._core.close()

    def __enter__(self) -> CurIndex:
        return self

    def __exit__(
        self,
        error: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def add(
        self,
        items: Sequence[Any],
        ids: Ids,
        *,
        score: object = None,
        vectors: ArrayLike | None = None,
        rows: ArrayLike | None = None,
        paid: Paid | None = None,
        threads: int | None = None,
        show_progress: bool | None = None,
    ) -> None:
        """Add items, in one commit: score them against the anchor queries, unless `rows` are given.

        Args:
            items: What `score` takes for each.                               # [m]
            ids: Names that no item has.                                      # [m]
            score: As in `search`; asked for every anchor query and new item.
            vectors: Of the new items, by the encoder that the factors were made with.  # [m, …]
            rows: Their factors, if they are known otherwise.                 # [m, dim]
            paid: As in `search`.
            threads: As in `resolve_threads`.
            show_progress: As in `search`.

        Raises:
            ScorerError: As in `search`; nothing was added.
            ValueError: An id that is there, or what rows are made of is not given.
            OSError: The index is open for reading only, or the disk is full; nothing was added.
        """
        names = arguments.ids(ids)
        if len(items) != len(names):
            raise ValueError(f"items must be one an id, {len(names)}; got {len(items)}")
        if rows is None:
            scores = None
            if "of_scores" in self._about.arrays:
                scores = self._scored(items, names, score, paid, show_progress=show_progress)
            given = None if vectors is None else np.asarray(vectors, np.float64)
            rows = factors.new_rows(self._about.arrays, scores, given)
        new = arguments.rows(rows, "rows")
        self._expect_new(names)
        if isinstance(self._items, Texts):
            if not _are_texts(items):
                raise TypeError("items must be texts, as this index has")
            # Before the rows: whatever a crash leaves, every row has its text.
            self._items.put(plain(names), items)
        elif isinstance(self._items, dict):
            self._items.update(zip(plain(names), items, strict=True))
        self._core.add(new, names, threads)

    def delete(self, ids: Ids) -> int:
        """Delete the items that have one of `ids`, in one commit; return how many there were.

        Raises:
            OSError: As in `add`; nothing was deleted.
        """
        return self._core.delete(arguments.ids(ids))

    def compact(self, *, threads: int | None = None) -> None:
        """Build all rows together again, as `Index.compact`, and forget texts of deleted items.

        Raises:
            OSError: As in `add`; nothing was changed.
        """
        self._core.compact(threads)
        if isinstance(self._items, Texts):
            self._items.keep(plain(arguments.ids(self._core.ids)))

    def refresh(self) -> bool:
        """See what was committed since this index was opened; return whether anything was."""
        return self._core.refresh()

    def configure(self, **settings: Any) -> None:  # noqa: ANN401 - as `search` takes them
        """Make these arguments of `search` the ones that it takes unless told otherwise.

        Raises:
            ValueError: An argument that cannot be set.
            OSError: The directory cannot be written.
        """
        about = replace(self._about, settings={**self._about.settings, **_settings(settings)})
        if self._path is not None:
            kept.write(self._path, about)
        self._about = about

    def tune(
        self,
        queries: Sequence[Any],
        budget: int = 100,
        *,
        score: object,
        k: int = 10,
        vectors: ArrayLike | None = None,
        paid: Paid | None = None,
        threads: int | None = None,
        show_progress: bool | None = None,
    ) -> Chosen:
        """Choose settings for searches of `budget` calls, and make them the ones that it takes.

        Rounds, `split` (k_r; the rest is k_i), `ridge`, `noise` and λ are tried by searching for
        `queries` that the index was not built of: what its factors know already tells nothing of
        new ones. `build` can choose without a call, from the scores that it has.

        Args:
            queries: A dozen or more like those to come; what is measured later must be others.
            budget: Calls of the searches to come. Each query costs some times as many here: what
                the settings' searches ask for together.
            score: As in `search`.
            k: Results wanted.
            vectors: As in `search`.
            paid: As in `search`.
            threads: As in `resolve_threads`.
            show_progress: As in `search`.

        Raises:
            ScorerError: As in `search`; `paid` has what was paid for, and no setting was changed.
            ValueError: No queries, one that the index was built of, and what `search` refuses.
        """
        from magnetite.index.cur.choose import choose, grid

        asked, anchors = list(queries), {*self._about.queries}
        if not asked or isinstance(queries, str):
            raise ValueError("queries must be some, a list of them, to choose settings by")
        if seen := [one for one in asked if one in anchors]:
            raise ValueError(
                f"queries must not be among those the index was built of; got {seen[0]!r}; give "
                "others, or choose settings by budget= when it is built"
            )
        known: Paid = {} if paid is None else paid

        def search(settings: dict[str, Any]) -> CurHits:
            return self.search(
                asked, k, budget, score=score, vectors=vectors, paid=known,
                threads=threads, show_progress=show_progress, **settings,
            )  # fmt: skip

        own = {**DEFAULTS, **self._about.settings}
        tried = grid(own, budget, self.dim, len(self), guided=vectors is not None)
        found = choose(search, tried, asked, k, known)
        self.configure(**found.settings)
        return found

    def search(
        self,
        queries: Any,  # noqa: ANN401 - whatever the scorer takes
        k: int = 10,
        budget: int = 100,
        *,
        score: object,
        rounds: int | Sequence[int] | None = None,
        split: float | None = None,
        init: Any = None,  # noqa: ANN401 - ids of numbers or text, one list or many, or scores
        vectors: ArrayLike | None = None,
        prior: ArrayLike | None = None,
        regularize: float | None = None,
        ridge: float | None = None,
        noise: float | None = None,
        temperature: float | None = None,
        filter: Filter | None = None,  # noqa: A002 - the word of the field
        exclude: Filter | None = None,
        rest: int = 0,
        probes: int | None = None,
        rescore: int | None = None,
        slack: float | None = None,
        paid: Paid | None = None,
        encoder: str | None = None,
        seed: int = 0,
        threads: int | None = None,
        show_progress: bool | None = None,
    ) -> CurHits:
        """Return the `k` items that `score` likes best, of the `budget` that it is asked about.

        Args:
            queries: One text, or a sequence of whatever the scorer takes for a query.
            k: Results wanted for each query; at most `budget`.
            budget: Pairs that the scorer is asked for, for each query; fewer only if fewer items
                may be found.
            score: A callable `(query, items) -> scores`, or an object with that as `score`; if it
                has `pairs(queries, items)`, all queries of a round share its batches.
            rounds: How many, of as even sizes as can be, 5 by default; or all sizes but `split`.
                Before each but the first the factors say which items to score. This and the next
                ones are the index's own settings unless they are given.
            split: Calls kept for a last round that re-ranks the best by V·u, or their part of
                `budget`, below 1; 0 by default.
            init: What the first round scores: `random` (the same items for all queries that may
                find the same), ids for all queries or for each, best first, or what another model
                scored every item, in the order of `index.ids`.               # [n, len(index)]
                By default what the encoder likes best if the factors know that (`corrected`), else
                the best by V·u₀ if there is a u₀, else random.
            vectors: Of the queries by the encoder that the factors were made with; they give u₀, or
                are it where the factors are vectors of that encoder themselves.   # [n, …]
            prior: u₀, towards which the ridge draws u instead of 0.          # [n, dim]
            regularize: λ of u ← (1 − λ)·u + λ·u₀, 0 by default; AXN's paper has 0.8 for k = 1.
            ridge: ε of min ‖V·u − a‖² + ε·‖u‖², in mean squared lengths of the first items' rows;
                1e-6 by default. 0 gives the pseudo-inverse.
            noise: Added to ε as it is; 0 by default.
            temperature: Draw items from softmax(V·u / temperature) instead of taking the best, but
                for the first round and `split`; among the 16,384 best by V·u.
            filter: Items that may be found, as in `Index.search`.
            exclude: Items that may not, in the same form.
            rest: So many of the best that were not scored are returned too, by estimate.
            probes: Lists to look into, `rescore` rows to estimate exactly, `slack` when to stop: as
                in `Index.search`, where factors lie in lists.
            rescore: See `probes`.
            slack: See `probes`.
            paid: Scores by (query, id), filled as they come and read instead of asking: after an
                error a search that is given the same goes on where it was.
            encoder: Fingerprint of the encoder of `vectors`, as in `Index.search`. That of `score`
                is its `fingerprint`, if it has one.
            seed: The same seed gives the same items.
            threads: As in `resolve_threads`; changes no result.
            show_progress: Show a bar of pairs; by default on a terminal.

        Raises:
            ScorerError: A scorer raised, or returned the wrong number of scores, or such as are not
                finite; `error.paid` has what was paid for.
            ValueError: `budget` below `k`, more first items than there are items, a scorer or an
                encoder of another fingerprint than the index's, and what `Index.search` refuses.
        """
        self._expect_same("encoder", encoder, self._about.encoder)
        self._expect_same("scorer", getattr(score, "fingerprint", None), self._about.scorer)
        asked = [queries] if isinstance(queries, str) else list(queries)
        own = {**DEFAULTS, **self._about.settings}
        given = {"rounds": rounds, "split": split, "regularize": regularize, "ridge": ridge}
        given |= {"noise": noise, "temperature": temperature}
        own |= {name: value for name, value in given.items() if value is not None}
        split = plans.calls(own["split"], budget)
        sizes = plans.sizes(budget, own["rounds"], split, own["lead"])
        self._expect(k, budget, sizes[0])
        given_vectors = None if vectors is None else np.atleast_2d(np.asarray(vectors, float))
        if prior is None:
            prior = factors.prior(self._about.arrays, given_vectors, len(asked))
        name, given_u = ("vectors", vectors) if prior is None else ("prior", prior)
        known = plans.known(given_u, name, len(asked), self.dim)
        only = arguments.picks(filter, "filter", len(asked))
        but = arguments.picks(exclude, "exclude", len(asked))
        steps: list[tuple[int, float | None]] = [(size, own["temperature"]) for size in sizes]
        if split:
            steps[-1] = (sizes[-1], None)
        plan = asking.Plan(
            k=k,
            rest=rest,
            rounds=steps,
            ridge=own["ridge"],
            noise=own["noise"],
            weight=own["regularize"],
            toward=prior is not None,
            effort=(probes, rescore, slack),
            seed=seed,
            threads=threads,
        )
        most = None if only or but else sizes[0]
        first = plans.first_items(init, len(asked), lambda: self.ids, most)
        guide = None if init is not None else factors.guide(self._about.arrays, given_vectors)
        starts = asking.Starts(asked, first, known, guide, only, but)
        # tqdm's disable=None is quiet off a terminal.
        hidden = None if show_progress is None else not show_progress
        with tqdm(total=budget * len(asked), unit="pair", disable=hidden) as bar:
            asker = asking.Asker(score, self.items_of, {} if paid is None else paid, bar)
            return asking.run(self._core, starts, plan, asker)

    def _expect_same(self, what: str, got: object, own: str | None) -> None:
        if None not in (got, own) and got != own:
            raise ValueError(
                f"the factors were made with the {what} {own}; got {got}; search with that one, "
                "or build again"
            )

    def _expect(self, k: int, budget: int, first: int) -> None:
        if not 1 <= k <= budget:
            raise ValueError(f"budget must be at least k={k}, which is at least 1; got {budget}")
        if first > len(self):
            raise ValueError(
                f"the first round takes {first} items and the index has {len(self)}; lower budget, "
                "or raise rounds"
            )

    def items_of(self, ids: Sequence[Any]) -> list[Any]:
        """Return what `score` takes for the items called so.

        Raises:
            ValueError: The index has no items.
        """
        if isinstance(self._items, Texts):
            return list(self._items.of(ids))
        if self._items is None:
            raise ValueError(
                "the index has no items to score; give items= when it is made or opened"
            )
        return [self._items[one] for one in ids]

    def _scored(
        self,
        items: Sequence[Any],
        names: arguments.Named,
        score: object,
        paid: Paid | None,
        *,
        show_progress: bool | None,
    ) -> NDArray[np.float64]:
        """Return what every anchor query makes of new items."""
        anchors = list(self._about.queries)
        if not anchors:
            raise ValueError("the index has no anchor queries to score new items by; give rows=")
        if score is None:
            raise ValueError("score must be given, to score new items by the anchor queries")
        new = dict(zip(plain(names), items, strict=True))
        hidden = None if show_progress is None else not show_progress
        with tqdm(total=len(anchors) * len(new), unit="pair", disable=hidden) as bar:
            asker = asking.Asker(
                score, lambda ids: [new[one] for one in ids], {} if paid is None else paid, bar
            )
            counts = np.full(len(anchors), len(new), np.int64)
            scores, _ = asker.scores(anchors, plain(names) * len(anchors), counts)
        return scores.reshape(len(anchors), len(new)).T

    def _expect_new(self, names: arguments.Named) -> None:
        there = self._core.contains(names)
        if there.any():
            first = plain(names)[int(np.argmax(there))]
            raise ValueError(f"ids must be new to the index (delete them first); got {first!r}")

    @property
    def ids(self) -> NDArray[Any]:
        """The id of every row, ascending."""
        ids = self._core.ids
        return ids if isinstance(ids, np.ndarray) else np.array(ids, dtype=object)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._core)

    @property
    def about(self) -> About:
        """What made the factors, and what makes more of them."""
        return self._about

    @property
    def dim(self) -> int:
        """Numbers in a row of factors."""
        return self._core.dim

    def __repr__(self) -> str:
        return f"CurIndex({len(self):,} items with {self.dim} factors)"


def plain(names: arguments.Named) -> list[Any]:
    """Return ids as numbers or text of Python."""
    return names.tolist() if isinstance(names, np.ndarray) else names


def _are_texts(items: Sequence[Any]) -> bool:
    return all(isinstance(one, str) for one in items)


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := set(given) - set(DEFAULTS):
        raise ValueError(f"settings must be among {sorted(DEFAULTS)}; got {sorted(unknown)}")
    return dict(given)
