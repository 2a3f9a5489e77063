"""Text in, documents out: documents, their metadata and their vectors, committed together."""

from magnetite.index.collection.collection import DOCUMENTS, Collection
from magnetite.index.collection.document import Changes, Document, Found
from magnetite.index.collection.verify import VerifiedCollection

__all__ = ["DOCUMENTS", "Changes", "Collection", "Document", "Found", "VerifiedCollection"]
