"""How the server says no: one exception, one body, in the shape that OpenAI's clients read."""

import math

import orjson
from fastapi import Response
from pydantic import BaseModel


class Refusal(Exception):
    """A request is answered with an error; `str()` says what, wanted, got and the remedy."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code
        self.retry_after_s = retry_after_s

    def response(self) -> Response:
        """Return what the client gets."""
        headers = {}
        if self.retry_after_s is not None:
            # The header counts in whole seconds; OpenAI's clients read the finer one first.
            headers["retry-after"] = str(max(1, math.ceil(self.retry_after_s)))
            headers["retry-after-ms"] = str(math.ceil(self.retry_after_s * 1000))
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        body = {
            "error": {
                "message": str(self),
                "type": _TYPES.get(self.status, "invalid_request_error"),
                "param": self.param,
                "code": self.code,
            }
        }
        return Response(orjson.dumps(body), self.status, headers, "application/json")


_TYPES = {
    401: "authentication_error",
    429: "rate_limit_error",
    500: "server_error",
    501: "not_implemented_error",
    503: "server_error",
}


class Problem(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of every answer that is not 200."""

    error: Problem
