"""What lies in the directory of an index by a scorer, beside factors and texts.

```
DIR/cur.json       what it is; its own checksum and that of the arrays
DIR/arrays.npz     maps that make rows of new items and what is believed of queries
DIR/items.sqlite   the texts of items, if they are texts
DIR/factors/       an index over the rows, as any other
```

The directory is made under another name and renamed once all of it is on the disk. After that
`factors` has commits of its own, and `cur.json` is replaced by one rename.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from magnetite._core import FormatError
from magnetite.index.cur.about import About

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ABOUT, ARRAYS, ITEMS, FACTORS = "cur.json", "arrays.npz", "items.sqlite", "factors"
VERSION = 1
_NAMED = ("method", "scorer", "encoder", "settings")


def expect_free(path: Path) -> None:
    """Refuse a path where there is something."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} already holds something; open it, or give another folder")


@contextmanager
def made(path: Path) -> Iterator[Path]:
    """Give a directory to fill, which becomes `path` when the block ends, or goes if it raises.

    Raises:
        FileExistsError: There is something at `path`.
    """
    expect_free(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield unfinished
        unfinished.chmod(0o755)
        for folder, _, names in os.walk(unfinished):
            for name in [*names, ""]:
                _force(Path(folder, name))
        unfinished.replace(path)
        _force(path.parent)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def write(directory: Path, about: About) -> None:
    """Make this what the directory says of itself, in one step that happens or does not."""
    arrays = io.BytesIO()
    np.savez(arrays, **about.arrays)  # type: ignore[arg-type]
    held = directory / ARRAYS
    if not held.exists():  # they never change
        held.write_bytes(arrays.getvalue())
    said: dict[str, Any] = {name: getattr(about, name) for name in _NAMED}
    texts = all(isinstance(one, str) for one in about.queries)
    said["queries"] = list(about.queries) if texts else None
    said |= {"format": "magnetite cur", "version": VERSION, "arrays": _digest(held.read_bytes())}
    said["checksum"] = _checksum(said)
    new = directory / f"{ABOUT}.new"
    new.write_text(json.dumps(said, indent=1, sort_keys=True), encoding="utf-8")
    _force(new)
    new.replace(directory / ABOUT)
    _force(directory)


def read(directory: Path) -> About:
    """Return what the directory says of itself.

    Raises:
        FormatError: It is no index by a scorer, or it was changed.
        OSError: It cannot be read.
    """
    path = directory / ABOUT
    said = _said(path)
    if said.get("format") != "magnetite cur" or said.get("version") != VERSION:
        raise FormatError(f"{path}: not an index by a scorer, or of another version; rebuild")
    if said.pop("checksum", None) != _checksum(said):
        raise FormatError(f"{path}: changed: it does not match its checksum; restore or rebuild")
    held = (directory / ARRAYS).read_bytes()
    if _digest(held) != said["arrays"]:
        raise FormatError(f"{directory / ARRAYS}: changed; restore or rebuild")
    queries = tuple(said["queries"] or ())
    return About(**{name: said[name] for name in _NAMED}, queries=queries, arrays=_arrays(held))


def _said(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{path}: not JSON ({error}); restore or rebuild") from error
    if not isinstance(said, dict):
        raise FormatError(f"{path}: not an index by a scorer; restore or rebuild")
    return said


def _arrays(held: bytes) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(held), allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, BadZipFile, KeyError) as error:
        raise FormatError(f"{ARRAYS}: damaged ({error}); restore or rebuild") from error


def _checksum(said: dict[str, Any]) -> str:
    return _digest(json.dumps(said, sort_keys=True).encode())


def _digest(held: bytes) -> str:
    return hashlib.sha256(held).hexdigest()


def _force(path: Path) -> None:
    """See to it that what was written is on the disk; of a folder, its names."""
    if path.is_dir() and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
