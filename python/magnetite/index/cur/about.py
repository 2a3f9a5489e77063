"""What an index by a scorer is, beside its items."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class About:
    """What made the factors, and what makes more of them."""

    method: str | None = None
    scorer: str | None = None
    """Fingerprint of the scorer that the factors say something of."""
    encoder: str | None = None
    """Fingerprint of the encoder that vectors of queries must come from."""
    queries: tuple[Any, ...] = ()
    """The anchor queries, by which new items are scored."""
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Maps that make rows of new items and what is believed of queries (`factors.Factors`)."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Arguments of a search that it takes unless told otherwise."""
