"""What one server takes on at a time; beyond it a request is refused, never half served."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The bounds of a server."""

    body_bytes: int = 16 << 20
    """Of one request; a longer one is refused by its header, before it is read."""
    texts: int = 2048
    """In one request, as OpenAI has it."""
    tokens: int = 1 << 18
    """Waiting for the engine or in it, of all requests; the next that would pass it gets 429."""
    searches: int = 64
    """Waiting for a collection or in it; the next gets 429."""
    read_s: float = 20.0
    """A request that has not arrived whole by then is given up."""
    stop_s: float = 30.0
    """How long work that was accepted may go on after SIGTERM."""
