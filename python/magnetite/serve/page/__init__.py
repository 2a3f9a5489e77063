"""The page at `/`: three files of this folder, which load nothing from elsewhere."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Response

_HERE = Path(__file__).parent
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    # Documents are other people's text: nothing of them may run, load or send anything.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def routes() -> APIRouter:
    """Return the routes of the page's files."""
    router = APIRouter(include_in_schema=False)
    for path, (name, kind) in _FILES.items():
        response = Response((_HERE / name).read_bytes(), headers=_HEADERS, media_type=kind)
        router.add_api_route(path, _always(response), methods=["GET", "HEAD"])
    return router


def _always(response: Response) -> Callable[[], Coroutine[Any, Any, Response]]:
    async def route() -> Response:
        return response

    return route
