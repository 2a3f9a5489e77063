"""Text to ids: a tokenizer that gives Hugging Face's ids, and batches of like length."""

from magnetite._core import Tokens
from magnetite.text.sources import Texts
from magnetite.text.tokenizer import Tokenizer, pack

__all__ = ["Texts", "Tokenizer", "Tokens", "pack"]
