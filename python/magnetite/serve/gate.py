"""What every request passes before it reaches a route: its key; and what is counted of it."""

import hmac
import re
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
LOCAL = re.compile(rb"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
"""Names of this machine that no other can point to it."""


class Gate:
    """An ASGI application around another."""

    def __init__(self, app: App, metrics: Metrics, *, key: str | None, local: bool) -> None:
        """`local`: without a key, answer only who asked for this machine by its own name.

        Else any page in the browser of somebody who runs a server could read its collections, by
        letting its own name point to 127.0.0.1 (DNS rebinding).
        """
        self._app, self._metrics = app, metrics
        self._key = None if key is None else key.encode()
        self._local = local and key is None

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
            refusal = self._refuses(scope)
            app = self._app if refusal is None else refusal.response()
            await app(scope, receive, sent)
        finally:
            # Not the path that was asked for: clients invent those.
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - start)

    def _refuses(self, scope: Message) -> Refusal | None:
        headers = dict(scope["headers"])
        if self._local and not LOCAL.fullmatch(headers.get(b"host", b"")):
            return _NOT_LOCAL
        if self._key is None or scope["path"] in OPEN:
            return None
        kind, _, key = headers.get(b"authorization", b"").partition(b" ")
        known = kind.lower() == b"bearer" and hmac.compare_digest(key.strip(), self._key)
        return None if known else _NO_KEY


_NOT_LOCAL = Refusal(
    403,
    "this server has no key, so it answers to localhost alone: ask for http://localhost or "
    "http://127.0.0.1, let a proxy send that as the Host, or start the server with --api-key",
    code="not_local",
)
_NO_KEY = Refusal(
    401,
    "this server wants a key: send the header `Authorization: Bearer KEY` with the one that it was "
    "started with",
    code="invalid_api_key",
)
