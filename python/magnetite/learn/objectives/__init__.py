"""Formulas: tensors in, losses out. They create no modules and keep no state."""

from magnetite.learn.objectives.contrastive import graded_pairs, hinge, info_nce, sup_con
from magnetite.learn.objectives.distillation import cosine_distance, listwise_kl, margin_mse
from magnetite.learn.objectives.geometry import (
    alignment,
    decorrelation,
    principal,
    spread,
    uniformity,
)
from magnetite.learn.objectives.ranking import mean_kept, pairwise, pointwise

__all__ = [
    "alignment",
    "cosine_distance",
    "decorrelation",
    "graded_pairs",
    "hinge",
    "info_nce",
    "listwise_kl",
    "margin_mse",
    "mean_kept",
    "pairwise",
    "pointwise",
    "principal",
    "spread",
    "sup_con",
    "uniformity",
]
