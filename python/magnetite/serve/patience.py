"""The connection: uvicorn's, with an end to its patience.

uvicorn waits for ever for a request line or a header that comes byte by byte, keeps headers of any
length, and reads the rest of a body that was already refused. Here each has its bound.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_S = 10.0
"""From the first byte of a connection, or of a request on it, to the end of its headers."""
HEADER_BYTES = 1 << 16
LINGER_S = 5.0
"""How long a client may go on sending what was refused before it is cut off: closed at once, it
would lose the answer that says why."""


class PatientProtocol(HttpToolsProtocol):
    """One connection of a client."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for headers."""
        super().connection_made(transport)
        self._header_bytes = 0
        self._in_headers = True
        self._deadline = self.loop.call_later(HEADER_S, self._cut_off)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes as uvicorn does, but not more of headers than any request has."""
        self._header_bytes += len(data)
        super().data_received(data)
        if self._in_headers and self._header_bytes > HEADER_BYTES:
            self._cut_off()

    def on_message_begin(self) -> None:
        """Give a request on a kept connection the same time as the first."""
        super().on_message_begin()
        self._in_headers = True
        self._header_bytes = 0
        self._await(HEADER_S)

    def on_headers_complete(self) -> None:
        """Leave the rest to the route, which has its own time for the body."""
        self._deadline.cancel()
        self._in_headers = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop waiting for the rest of a body."""
        self._deadline.cancel()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Let a client that is still sending finish, for a while."""
        super().on_response_complete()
        if self.cycle is not None and self.cycle.more_body:
            self._await(LINGER_S)

    def _await(self, seconds: float) -> None:
        self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self._cut_off)

    def _cut_off(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
