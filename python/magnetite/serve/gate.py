"""What every request passes before it reaches a route: its key; and what is counted of it."""

import hmac
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from magnetite.serve.metrics import Metrics
from magnetite.serve.refusal import Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

OPEN = ("/", "/health", "/page.css", "/page.js")
"""Need no key: a probe, and the page, which asks for one."""


class Gate:
    """An ASGI application around another."""

    def __init__(self, app: App, key: str | None, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._key = None if key is None else key.encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if self._key is not None and scope["path"] not in OPEN and not self._knows(scope):
                await _NO_KEY.response()(scope, receive, sent)
            else:
                await self._app(scope, receive, sent)
        finally:
            route = getattr(
                scope.get("route"), "path", "other"
            )  # not the path: clients invent those
            self._metrics.requests.labels(route, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - start)

    def _knows(self, scope: Message) -> bool:
        assert self._key is not None
        for name, value in scope["headers"]:
            if name == b"authorization":
                kind, _, key = value.partition(b" ")
                return kind.lower() == b"bearer" and hmac.compare_digest(key.strip(), self._key)
        return False


_NO_KEY = Refusal(
    401,
    "this server wants a key: send the header `Authorization: Bearer KEY` with the one that it was "
    "started with",
    code="invalid_api_key",
)
