"""An index by a scorer in a directory: what it keeps, what damage and crashes do to it."""

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from magnetite import FormatError
from magnetite.index.cur import CurIndex, ScorerError

GOLDEN = Path(__file__).parents[2] / "golden" / "cur-v1"
ANCHORS = ["alpha", "beta gamma", "delta", "ab\ud800"]


def score(query, items):
    """Return something that depends on both texts, and on nothing else."""
    words = [f"{query}|{item}" for item in items]
    return [sum(map(ord, text)) * 37 % 1009 / 100 + len(text) for text in words]


def texts(count, first=0):
    return [f"item {place} of them {'x' * (place % 7)}" for place in range(first, first + count)]


def matrix(items):
    return np.array([score(query, items) for query in ANCHORS])


def built(path, count=60, **options):
    items = texts(count)
    names = [f"n{place:04}" for place in range(count)]
    return CurIndex.create(
        path,
        matrix(items).T,
        names,
        items=items,
        method="adacur",
        scorer="judge-1",
        encoder="encoder-1",
        queries=ANCHORS,
        arrays={"of_scores": np.eye(len(ANCHORS))},
        settings={"rounds": 3},
        **options,
    )


def hits_of(index, **options):
    hits = index.search(["a question", "beta"], 5, 30, score=score, rest=4, **options)
    rest = (hits.rest.ids.tolist(), hits.rest.estimates.tolist())
    return hits.ids.tolist(), hits.scores.tolist(), hits.vectors.tolist(), *rest


@pytest.mark.parametrize("storage", ["f32", "f16", "int8"])
def test_what_was_made_is_what_is_opened(tmp_path, storage):
    index = built(tmp_path / "a", storage=storage)
    wanted = hits_of(index)
    index.close()
    assert hits_of(built(None, storage=storage)) == wanted
    for verify in ("full", "lazy"):
        opened = CurIndex.open(tmp_path / "a", verify)
        assert hits_of(opened) == wanted
        about = opened.about
        assert (about.method, about.scorer, about.encoder) == ("adacur", "judge-1", "encoder-1")
        assert list(about.queries) == ANCHORS
        assert about.arrays["of_scores"].tolist() == np.eye(4).tolist()
        assert about.settings == {"rounds": 3}


def test_the_same_build_gives_the_same_bytes(tmp_path):
    for name in "ab":
        built(tmp_path / name, kind="ivf", lists=4, parts=2, threads=1 + (name == "b")).close()
    for name in ("cur.json", "arrays.npz", "factors/MANIFEST"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_new_items_enter_by_their_scores_from_the_anchor_queries(tmp_path):
    index = built(tmp_path / "a", 40)
    new = texts(20, first=40)
    names = [f"n{place:04}" for place in range(40, 60)]
    asked = []

    def counted(query, items):
        asked.extend((query, item) for item in items)
        return score(query, items)

    index.add(new, names, score=counted)
    assert sorted(asked) == sorted((query, item) for query in ANCHORS for item in new)
    index.close()
    wanted = hits_of(built(None, 60))
    assert hits_of(index) == wanted
    assert hits_of(CurIndex.open(tmp_path / "a")) == wanted
    # Deleted, and there again: the text is the new one.
    with CurIndex.open(tmp_path / "a", writable=True) as again:
        assert again.delete(["n0005", "nobody"]) == 1
        assert len(again) == 59
        assert all("n0005" not in ids for ids in hits_of(again)[0])
        again.add(texts(1, first=5), ["n0005"], rows=matrix(texts(1, first=5)).T)
        assert hits_of(again) == wanted
        again.compact()
        assert hits_of(again) == wanted


def test_what_a_failing_add_paid_for_is_kept_and_nothing_else(tmp_path):
    index = built(tmp_path / "a", 40)
    before = hits_of(index)
    calls = []

    def failing(query, items):
        calls.append(query)
        if len(calls) == 3:
            raise RuntimeError("gone")
        return score(query, items)

    with pytest.raises(ScorerError, match="gone") as error:
        index.add(texts(5, first=40), range_names(40, 5), score=failing)
    assert len(error.value.paid) == 2 * 5
    assert len(index) == 40
    assert hits_of(index) == before
    index.add(texts(5, first=40), range_names(40, 5), score=failing, paid=error.value.paid)
    assert len(calls) == 3 + 2
    assert len(index) == 45


def range_names(first, count):
    return [f"n{place:04}" for place in range(first, first + count)]


def test_compact_forgets_the_texts_of_what_is_gone(tmp_path):
    index = built(tmp_path / "a")
    index.delete(range_names(0, 50))
    index.compact()
    assert index.items_of(["n0050"]) == texts(1, first=50)
    with pytest.raises(FormatError, match="missing"):
        index.items_of(["n0000"])
    index.close()
    assert CurIndex.open(tmp_path / "a").ids.tolist() == range_names(50, 10)


def test_settings_are_kept_and_replaced_in_one_step(tmp_path):
    index = built(tmp_path / "a")
    index.configure(split=5, ridge=0.5)
    kept = {"rounds": 3, "split": 5, "ridge": 0.5}
    assert CurIndex.open(tmp_path / "a").about.settings == kept
    with pytest.raises(ValueError, match="settings must be among"):
        index.configure(colour=1)
    told = built(None).search(["a"], 5, 30, score=score, split=5, ridge=0.5)
    assert index.search(["a"], 5, 30, score=score).vectors.tolist() == told.vectors.tolist()


def test_items_that_are_no_texts_are_given_again(tmp_path):
    rows = np.random.default_rng(0).normal(size=(30, 3))
    CurIndex.create(tmp_path / "a", rows, items=[(place,) for place in range(30)]).close()

    def of_tuples(_, items):
        return [item[0] for item in items]

    assert not (tmp_path / "a" / "items.sqlite").exists()
    with pytest.raises(ValueError, match="give items="):
        CurIndex.open(tmp_path / "a").search(["q"], 3, 10, score=of_tuples)
    again = CurIndex.open(tmp_path / "a", items={place: (place,) for place in range(30)})
    hits = again.search(["q"], 3, 10, score=of_tuples, init=[29, 28, 27], rounds=2)
    assert hits.ids[0].tolist() == [29, 28, 27]
    assert hits.scores[0].tolist() == [29.0, 28.0, 27.0]


@pytest.mark.parametrize("verify", ["full", "lazy"])
def test_a_golden_index_opens_and_finds_what_it_found(tmp_path, verify):
    spec = importlib.util.spec_from_file_location("make", GOLDEN / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    index = CurIndex.open(GOLDEN / "index", verify)
    assert (len(index), index.about.settings) == (40, {"rounds": 3, "ridge": 0.001})
    assert list(index.about.queries) == make.ANCHORS
    assert make.hits(index) == json.loads((GOLDEN / "hits.json").read_text())
    # And what it was made with makes more: of a copy, for the golden one is never written.
    copy = shutil.copytree(GOLDEN / "index", tmp_path / "copy")
    with CurIndex.open(copy, verify, writable=True) as again:
        again.add(make.texts(46, 2), ["n46", "n47"], score=make.score)
        assert again.items_of(["n47"]) == make.texts(47, 1)


@pytest.mark.parametrize("name", ["cur.json", "arrays.npz", "items.sqlite", "factors"])
def test_changed_bytes_are_refused_by_name(tmp_path, name):
    built(tmp_path / "a").close()
    place = tmp_path / "a" / name
    if name == "factors":
        place = max(place.iterdir(), key=lambda one: one.stat().st_size)
    whole = place.read_bytes()
    rng = np.random.default_rng(0)
    refused, said = 0, []
    for at in rng.integers(0, len(whole), 60):
        changed = bytearray(whole)
        changed[at] ^= 1 << int(rng.integers(8))
        place.write_bytes(changed)
        try:
            index = CurIndex.open(tmp_path / "a")
            got = index.items_of(range_names(0, 60))
            # Bytes that say nothing: those of pages, or of JSON's spaces.
            assert got == texts(60)
            assert name not in ("arrays.npz", "factors")
        except (FormatError, OSError) as error:
            refused += 1
            said.append(str(error))
    assert all(name in one for one in said)
    assert refused >= (60 if name in ("arrays.npz", "factors") else 10)
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        place.write_bytes(whole[:length])
        with pytest.raises((FormatError, OSError)):
            CurIndex.open(tmp_path / "a").items_of(range_names(0, 60))


def test_other_formats_versions_and_places_are_refused(tmp_path):
    built(tmp_path / "a").close()
    with pytest.raises(FileExistsError, match="already holds something"):
        built(tmp_path / "a")
    with pytest.raises(OSError, match="No such file"):
        CurIndex.open(tmp_path / "b")
    about = tmp_path / "a" / "cur.json"
    said = json.loads(about.read_text())
    about.write_text(json.dumps(said | {"version": 2}))
    with pytest.raises(FormatError, match="another version"):
        CurIndex.open(tmp_path / "a")
    about.write_text("[]")
    with pytest.raises(FormatError, match="not an index"):
        CurIndex.open(tmp_path / "a")


def test_another_scorer_or_encoder_is_refused(tmp_path):
    index = built(tmp_path / "a")

    def ask(fingerprint, encoder=None):
        judge = type("Judge", (), {"score": staticmethod(score), "fingerprint": fingerprint})()
        return index.search(["a"], 5, 30, score=judge, encoder=encoder).ids.tolist()

    assert ask("judge-1", "encoder-1") == ask(None) == ask("judge-1")
    with pytest.raises(ValueError, match="scorer judge-1; got judge-2"):
        ask("judge-2")
    with pytest.raises(ValueError, match="encoder encoder-1; got encoder-2"):
        ask("judge-1", "encoder-2")


def test_one_writer_and_any_readers(tmp_path):
    writer = built(tmp_path / "a", 40)
    reader = CurIndex.open(tmp_path / "a")
    with pytest.raises(OSError, match="another writer"):
        CurIndex.open(tmp_path / "a", writable=True)
    with pytest.raises(OSError, match="reading"):
        reader.delete(["n0001"])
    before = hits_of(reader)
    writer.add(texts(20, first=40), range_names(40, 20), score=score)
    assert hits_of(reader) == before
    assert reader.refresh()
    assert hits_of(reader) == hits_of(writer) == hits_of(built(None, 60))


WRITER = """
import sys
sys.path.insert(0, {folder!r})
from test_index_kept import built, score, texts, range_names
from pathlib import Path
index = built(Path({path!r}), 40)
print("made", flush=True)
for first in range(40, 4000, 5):
    index.add(texts(5, first=first), range_names(first, 5), score=score)
    print(first + 5, flush=True)
"""


@pytest.mark.parametrize("delay_ms", [7, 60])
def test_a_writer_that_is_killed_leaves_every_item_its_text(tmp_path, delay_ms):
    path = tmp_path / "a"
    code = textwrap.dedent(WRITER).format(folder=str(Path(__file__).parent), path=str(path))
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "made\n"
        time.sleep(delay_ms / 1000)
        process.send_signal(signal.SIGKILL)
        said = [int(line) for line in process.stdout.read().split()]
    index = CurIndex.open(path, writable=True)
    count = len(index)
    assert count % 5 == 0
    assert count >= max(said, default=40)
    names = index.ids.tolist()
    assert names == range_names(0, count)
    assert index.items_of(names) == texts(count)
    # And it goes on.
    index.add(texts(5, first=count), range_names(count, 5), score=score)
    assert hits_of(index) == hits_of(built(None, count + 5))


def test_a_creation_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("magnetite.index.cur.kept.write", full)
    with pytest.raises(OSError, match="No space"):
        built(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
