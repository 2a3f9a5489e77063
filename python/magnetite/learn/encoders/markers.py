"""Marker tokens: words that a tokenizer learns to keep whole, before texts or inside them."""

import json
from collections.abc import Sequence
from typing import Any

from magnetite.text import Tokenizer


def with_markers(tokenizer: Tokenizer, markers: Sequence[str]) -> Tokenizer:
    """Return the tokenizer with further special tokens, numbered on from its last.

    Raises:
        ValueError: One of the markers is a token already.
    """
    about = json.loads(tokenizer.to_json())
    for place, marker in enumerate(markers):
        if tokenizer.token_to_id(marker) is not None:
            raise ValueError(f"{marker!r} is a token already; choose another marker")
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        token = {"id": tokenizer.vocab_size + place, "content": marker, "special": True}
        about["added_tokens"].append(flags | token)
    return Tokenizer.from_json(json.dumps(about, ensure_ascii=False))


def before_each(tokenizer: Tokenizer, query: str, document: str) -> Tokenizer:
    """Return the tokenizer with a marker before each text of a pair.

    Raises:
        ValueError: The tokenizer has no template for pairs.
    """
    about = json.loads(tokenizer.to_json())
    template = _template(about.get("post_processor") or {})
    if not template or not template.get("pair"):
        raise ValueError(
            "the tokenizer has no template for pairs to put markers into; "
            "put them into the texts yourself"
        )
    marked: list[Any] = []
    for piece in template["pair"]:
        text = piece.get("Sequence")
        if text:
            marker = query if text["id"] == "A" else document
            marked.append({"SpecialToken": {"id": marker, "type_id": text["type_id"]}})
            token = {"id": marker, "ids": [tokenizer.token_to_id(marker)], "tokens": [marker]}
            template["special_tokens"][marker] = token
        marked.append(piece)
    template["pair"] = marked
    return Tokenizer.from_json(json.dumps(about, ensure_ascii=False))


def _template(processor: dict[str, Any]) -> dict[str, Any] | None:
    if processor.get("type") == "TemplateProcessing":
        return processor
    found = (_template(one) for one in processor.get("processors", []))
    return next((one for one in found if one), None)
