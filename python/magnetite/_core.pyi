"""The compiled engine. Strict: it converts nothing; the Python packages above it are polite."""

__all__ = ["FormatError", "resolve_threads"]

class FormatError(ValueError):
    """A file is not what it should be: truncated, changed, of another kind or version."""

def resolve_threads(threads: int | None = None) -> int:
    """Return the number of threads a call will use: `threads`, else `MAGNETITE_NUM_THREADS`, else the CPUs at hand."""
