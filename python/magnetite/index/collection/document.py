"""What goes into a collection and what comes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

_FIELDS = ("id", "text", "title", "metadata")
_LARGEST = 2**63
_LONGEST = 900_000_000  # bytes; SQLite holds a little more in a row


@dataclass(frozen=True)
class Document:
    """A text, what it is called, and what is known of it."""

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Whatever JSON can say; `where` sees numbers, text, bools, None, and lists of these."""

    @property
    def passage(self) -> str:
        """What an encoder reads."""
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True)
class Found:
    """A document and how well it answers."""

    document: Document
    score: float


@dataclass(frozen=True)
class Changes:
    """What a call changed, in documents."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    encoded: int = 0
    """Of those added and updated, the ones whose text was new."""

    def __add__(self, other: Changes) -> Changes:
        return Changes(
            self.added + other.added,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.encoded + other.encoded,
        )


class Record(NamedTuple):
    """A document as it is stored; text is UTF-8 in which a lone surrogate stays what it is."""

    id: bytes
    title: bytes
    text: bytes
    metadata: str
    encoded: bytes
    """Digest of the passage: the same one has the same vector."""
    digest: bytes
    """Digest of all of it."""


def document_of(value: Document | Mapping[str, Any]) -> Document:
    """Return the document that `value` is or describes, of the types that it must have.

    Raises:
        TypeError: Something else, or a part of another type.
        ValueError: An unknown or missing key, or metadata that JSON cannot say.
    """
    if isinstance(value, Document):
        document = value
    elif isinstance(value, Mapping):
        if unknown := [key for key in value if key not in _FIELDS]:
            remedy = "put what else is known under 'metadata'"
            raise ValueError(f"a document has {_FIELDS}; got {unknown[0]!r}; {remedy}")
        if missing := [key for key in _FIELDS[:2] if key not in value]:
            raise ValueError(f"a document must have {missing[0]!r}; got {list(value)}")
        document = Document(**value)
    else:
        kind = type(value).__name__
        raise TypeError(f"documents must be Document or dict, each; got {kind}")
    for name in ("id", "text", "title"):
        if not isinstance(getattr(document, name), str):
            kind = type(getattr(document, name)).__name__
            raise TypeError(f"document {document.id!r}: {name} must be a str; got {kind}")
    if not isinstance(document.metadata, Mapping):
        kind = type(document.metadata).__name__
        raise TypeError(f"document {document.id!r}: metadata must be a dict; got {kind}")
    return document


def record_of(document: Document, passage: str) -> Record:
    """Return the document as it is stored; `passage` is its own.

    Raises:
        TypeError: Metadata with something that JSON cannot say.
        ValueError: Metadata with a number that is not finite or beyond 64 bits; too long for a row.
    """
    metadata = "{}"
    if document.metadata:
        for field_name, value in document.metadata.items():
            _expect_json(value, field_name, document.id)
        metadata = json.dumps(dict(document.metadata), sort_keys=True, separators=(",", ":"))
    name, title, text = stored(document.id), stored(document.title), stored(document.text)
    if len(name) + len(title) + len(text) + len(metadata) > _LONGEST:
        raise ValueError(f"document {document.id[:80]!r} must be shorter than {_LONGEST:,} bytes")
    return Record(
        name,
        title,
        text,
        metadata,
        digest_of(stored(passage)),
        digest_of(name, title, text, metadata.encode()),
    )


def digest_of(*parts: bytes) -> bytes:
    """Return 16 bytes that stand for the parts."""
    return sha256(b"".join(b"%d:%b" % (len(one), one) for one in parts)).digest()[:16]


def stored(text: str) -> bytes:
    """Return text as it is stored."""
    return text.encode("utf-8", "surrogatepass")


def restored(raw: bytes) -> str:
    """Return what was stored."""
    return raw.decode("utf-8", "surrogatepass")


def _expect_json(value: object, name: object, document: str) -> None:
    """Refuse what JSON would not give back as it is."""
    said = f"document {document!r}: metadata field {name!r}"
    if not isinstance(name, str):
        raise TypeError(f"{said} must be called by a str; got {type(name).__name__}")
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        raise ValueError(f"{said} must fit in 64 bits; got {value}; give it as text")
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        raise ValueError(f"{said} must be finite; got {value}; leave it out, or give None")
    if isinstance(value, Mapping) and type(value) is dict:
        for inner, one in value.items():
            _expect_json(one, inner, document)
    elif isinstance(value, (list, tuple)):
        for one in value:
            _expect_json(one, name, document)
    elif value is not None and not isinstance(value, (str, int, float)):
        remedy = "give a number, text, bool, None, list or dict"
        raise TypeError(f"{said} is a {type(value).__name__}, which JSON has not; {remedy}")
