"""Networks: what turns an input into a vector, and copies of it that do not learn."""

from magnetite.learn.encoders.copies import Frozen
from magnetite.learn.encoders.cross_encoder import CrossEncoder
from magnetite.learn.encoders.head import mlp
from magnetite.learn.encoders.static import StaticEncoder
from magnetite.learn.encoders.tower import Tower, embed

__all__ = ["CrossEncoder", "Frozen", "StaticEncoder", "Tower", "embed", "mlp"]
