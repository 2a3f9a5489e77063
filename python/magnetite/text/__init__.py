"""Text to ids: Hugging Face's, by a faster way; windows of documents; batches of like length."""

from magnetite._core import Tokens
from magnetite.text.chunk import Chunk, Chunks, chunk
from magnetite.text.sources import Texts
from magnetite.text.tokenizer import Tokenizer, pack

__all__ = ["Chunk", "Chunks", "Texts", "Tokenizer", "Tokens", "chunk", "pack"]
