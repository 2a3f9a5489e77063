"""A server for one encoder and its collections: OpenAI's, TEI's and our own routes, one page.

The modules below need the extra `serve`; this one does not.
"""

from magnetite.serve.limits import Limits

__all__ = ["Limits"]
