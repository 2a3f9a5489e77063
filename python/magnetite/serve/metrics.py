"""What /metrics says, in Prometheus' text format."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.exposition import generate_latest

__all__ = ["CONTENT_TYPE", "Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TOKENS = (16, 64, 256, 1024, 2048, 4096, 8192, 16384, 65536)


class Metrics:
    """Counters of one server; a registry of its own, so that two may live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "magnetite_requests", "Requests answered.", ("route", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "magnetite_request_seconds",
            "From headers to the last byte.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.texts = Counter("magnetite_texts", "Texts embedded.", registry=self._registry)
        self.pairs = Counter("magnetite_pairs", "Pairs scored.", registry=self._registry)
        self.truncated = Counter(
            "magnetite_truncated_texts", "Texts or pairs that lost an end.", registry=self._registry
        )
        self.tokens = Counter(
            "magnetite_tokens", "Tokens run, padding not counted.", registry=self._registry
        )
        self.engine = Counter(
            "magnetite_engine_seconds", "Seconds that the engine was busy.", registry=self._registry
        )
        self.batches = Histogram(
            "magnetite_batch_tokens",
            "Tokens the engine took at a time.",
            buckets=_TOKENS,
            registry=self._registry,
        )
        self.waiting = Gauge(
            "magnetite_waiting_tokens",
            "Tokens waiting or running now.",
            ("model",),
            registry=self._registry,
        )
        ProcessCollector(registry=self._registry)

    def batch(self, tokens: int, seconds: float) -> None:
        """Count what the engine has done."""
        self.tokens.inc(tokens)
        self.engine.inc(seconds)
        self.batches.observe(tokens)

    def text(self) -> bytes:
        """Return the page."""
        return generate_latest(self._registry)
