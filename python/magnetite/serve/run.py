"""A server from its first line to its last: socket, signals, exit."""

import errno
import signal
import socket
from collections.abc import Callable
from ipaddress import ip_address

import uvicorn
from fastapi import FastAPI

from magnetite.serve.gate import Gate
from magnetite.serve.metrics import Metrics
from magnetite.serve.patience import PatientProtocol

KEEP_ALIVE_S = 30
"""An idle connection is closed after that long; a proxy in front should close it earlier."""
BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 is any free one.

    Raises:
        OSError: The port is taken, or the address is not this machine's; it says which.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        remedy = "; another program has it: give --port another, or 0 for any free one"
        taken = remedy if error.errno == errno.EADDRINUSE else ""
        raise OSError(f"{host} port {port}: {error.strerror or error}{taken}") from None
    return opened


def address(listening: socket.socket) -> str:
    """Return where a browser finds it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(
    app: FastAPI,
    listening: socket.socket,
    *,
    key: str | None,
    metrics: Metrics,
    stop_s: float,
    ready: Callable[[], object],
) -> None:
    """Answer until SIGTERM or SIGINT; then take nothing new and finish what was accepted.

    Args:
        app: What answers.
        listening: Where.
        key: What clients must send, if anything.
        metrics: What counts requests.
        stop_s: How long to go on finishing; a second SIGINT ends it at once.
        ready: Called when the first request would be answered.
    """
    local = ip_address(listening.getsockname()[0]).is_loopback
    config = uvicorn.Config(
        Gate(app, metrics, key=key, local=local),
        http=PatientProtocol,
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here depends on who asks
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(stop_s)),
    )
    server = _Server(config, ready)
    # uvicorn raises the signal that stopped it once more when it has stopped: that is what ends
    # the process with the signal's status. Stopping as asked is a success here.
    before = {one: signal.signal(one, _stopped) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run(sockets=[listening])
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _stopped(*_: object) -> None:
    pass


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()
