"""What clients may ask: the bodies of requests, checked, and how they are read.

Unknown fields are refused, as OpenAI refuses them: a misspelt `dimension` would otherwise give
vectors that nobody asked for.
"""

import asyncio
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.requests import ClientDisconnect

from magnetite.serve.limits import Limits
from magnetite.serve.refusal import Refusal

_Id = Annotated[int, Field(ge=0, lt=1 << 31)]
_Ids = Annotated[list[_Id], Field(min_length=1, fail_fast=True)]
_Texts = Annotated[list[str], Field(min_length=1, fail_fast=True)]


class Asked(BaseModel):
    """What every body has in common: JSON alone, no field more than named, no type bent."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


_Asked = TypeVar("_Asked", bound=Asked)


class Embedding(Asked):
    """Fields of every route that makes vectors."""

    prompt_name: str | None = Field(None, description="Which of the encoder's prompts goes before.")
    truncate: bool = Field(default=True, description="Cut texts that are too long, or refuse them.")
    dimensions: int | None = Field(None, ge=1, description="Leading numbers of a vector to keep.")


class OpenAIEmbedding(Embedding):
    """The body of /v1/embeddings; `prompt_name` and `truncate` are ours."""

    input: str | _Texts | _Ids | Annotated[list[_Ids], Field(min_length=1, fail_fast=True)] = Field(
        description="A text, texts, the ids of a text, or of texts. Ids are used as they are."
    )
    model: str | None = Field(None, description="The name that /v1/models gives, or nothing.")
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = Field(None, description="Ignored.")


class TeiEmbedding(Embedding):
    """The body of /embed, as Hugging Face's text-embeddings-inference has it."""

    inputs: str | _Texts
    normalize: bool = True
    truncation_direction: Literal["Right", "right"] = "Right"


class Document(Asked):
    """A document of /rerank, as Cohere's clients may send it."""

    text: str


class Rerank(Asked):
    """The body of /rerank, as Cohere, Jina and vLLM have it; the last two fields are ours."""

    query: str
    documents: _Texts | Annotated[list[Document], Field(min_length=1, fail_fast=True)]
    top_n: int | None = Field(None, ge=1, description="Results to give; all where left out.")
    return_documents: bool = Field(default=False, description="Give each result's text, too.")
    model: str | None = Field(None, description="The name that /v1/models gives, or nothing.")
    truncate: bool = Field(default=True, description="Cut pairs that are too long, or refuse them.")
    raw_scores: bool = Field(
        default=False, description="The model's own numbers, not their sigmoid in (0, 1)."
    )

    def texts(self) -> list[str]:
        """Return the documents' texts."""
        return [one if isinstance(one, str) else one.text for one in self.documents]


class Search(Asked):
    """The body of /search: one `query`, or several `queries`."""

    query: str | None = None
    queries: _Texts | None = None
    k: int = Field(10, ge=1, le=1000, description="Documents for each query.")
    where: dict[str, Any] | None = Field(
        None, description="Conditions on metadata, as in Collection.search."
    )
    target_recall: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="As in Collection.search."
    )
    min_score: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        None, description="Leave out lower ones."
    )
    collection: str | None = Field(None, description="A name that /info gives, or the first.")

    @model_validator(mode="after")
    def _one_of_both(self) -> "Search":
        if (self.query is None) == (self.queries is None):
            raise ValueError("give either query or queries")
        return self


async def read(request: Request, kind: type[_Asked], limits: Limits) -> _Asked:
    """Return the body of a request as `kind`.

    Raises:
        Refusal: 400, it is not; 408, it did not come in time; 413, it is too long.
        ClientDisconnect: The client has gone.
    """
    try:
        async with asyncio.timeout(limits.read_s):
            body = await _body(request, limits.body_bytes)
    except TimeoutError:
        raise Refusal(
            408, f"the body had not arrived after {limits.read_s:g} s; send it at once"
        ) from None
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _refused(error) from None


async def _body(request: Request, most: int) -> bytes:
    """Return the body, of which no byte is read if its header says that it is too long."""
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > most:
        raise _too_long(most)
    blocks, size = [], 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        block = message.get("body", b"")
        size += len(block)
        if size > most:
            raise _too_long(most)
        blocks.append(block)
        if not message.get("more_body"):
            return b"".join(blocks)


def _too_long(most: int) -> Refusal:
    message = f"the body is longer than this server's {most} bytes; send fewer texts a request"
    return Refusal(413, message, code="body_too_long")


_TELLING = {"extra_forbidden": 0, "missing": 1}
"""Which of several errors to name: a misspelt field is also a missing one."""


def _refused(error: ValidationError) -> Refusal:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    first = min(found, key=lambda one: _TELLING.get(one["type"], len(_TELLING)))
    place = [str(step) for step in first["loc"]]
    if first["type"] == "json_invalid":
        return Refusal(400, f"the body is not JSON in UTF-8: {first['msg']}", code="not_json")
    if first["type"] == "extra_forbidden":
        return Refusal(400, f"unknown field {place[0]!r}", param=place[0], code="unknown_field")
    if first["type"] == "missing":
        return Refusal(400, f"the field {place[0]!r} is missing", param=place[0], code="missing")
    if place and place[0] == "documents":
        message = "documents must be a list of strings, or of objects with a text; not empty"
    elif place and place[0] == "input":
        message = (
            "input must be a string, a list of strings, a list of token ids, or a list of such "
            "lists; none of them empty, ids from 0"
        )
    else:
        message = f"{'.'.join(place) or 'the body'}: {first['msg']}"
    return Refusal(400, message, param=place[0] if place else None, code="invalid_value")
