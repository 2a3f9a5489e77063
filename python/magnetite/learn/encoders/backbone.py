"""Pretrained transformers: the only file that imports transformers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from transformers.utils import logging

MASKED_POSITIONS = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl"})
"""Families whose positions start after the padding index and would be derived from padding ids."""


def _dense_and_projection(activation: nn.Module) -> Callable[[Any], list[nn.Module]]:
    return lambda model: [model.classifier.dense, activation, model.classifier.out_proj]


HEADS: dict[str, Callable[[Any], list[nn.Module]]] = {
    "bert": lambda model: [model.bert.pooler.dense, nn.Tanh(), model.classifier],
    "distilbert": lambda model: [model.pre_classifier, nn.ReLU(), model.classifier],
    "electra": _dense_and_projection(nn.GELU()),
    **{family: _dense_and_projection(nn.Tanh()) for family in ("camembert", "mpnet", "roberta")},
    "xlm-roberta": _dense_and_projection(nn.Tanh()),
}
"""What classifies the first state, by family."""


class Backbone(nn.Module):
    """A transformer that gives the states of its last layer.

    Attributes:
        model: What transformers built; its attention is `eager`, which export can fuse.
    """

    model: Any  # transformers types none of it

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @classmethod
    def from_folder(cls, folder: str | PathLike[str]) -> Self:
        """Return the pretrained transformer whose files lie in `folder`."""
        with _quiet():
            model, found = AutoModel.from_pretrained(
                folder,
                attn_implementation="eager",
                dtype=torch.float32,
                output_loading_info=True,
            )
        missing = sorted(name for name in found["missing_keys"] if not name.startswith("pooler."))
        if missing:
            raise ValueError(f"{folder} lacks the weights {missing[:3]} ({len(missing)} in all)")
        return cls(_without_pooler(model))

    @classmethod
    def with_score(cls, folder: str | PathLike[str]) -> tuple[Self, nn.Sequential]:
        """Return the transformer in `folder` and the head that makes a score of its first state.

        Raises:
            ValueError: It classifies into more than one label, weights are missing, or its family's
                head is not known here.
        """
        with _quiet():
            model, found = AutoModelForSequenceClassification.from_pretrained(
                folder,
                attn_implementation="eager",
                dtype=torch.float32,
                output_loading_info=True,
            )
        family, labels = model.config.model_type, model.config.num_labels
        if labels != 1:
            raise ValueError(f"{folder} gives {labels} labels; a cross-encoder gives one score")
        if family not in HEADS:
            raise ValueError(
                f"{folder}: the head of the family {family!r} is not known here; "
                f"known: {', '.join(HEADS)}"
            )
        if missing := sorted(found["missing_keys"]):
            raise ValueError(f"{folder} lacks the weights {missing[:3]} ({len(missing)} in all)")
        head = nn.Sequential(*HEADS[family](model))
        return cls(_without_pooler(model.base_model)), head

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return a transformer of the shape `config`, as `config` gives it, with random weights."""
        shape = AutoConfig.for_model(**config)
        model = AutoModel.from_config(shape, attn_implementation="eager", dtype=torch.float32)
        return cls(_without_pooler(model))

    @property
    def config(self) -> dict[str, Any]:
        """Everything that `from_config` needs."""
        config: dict[str, Any] = self.model.config.to_diff_dict()
        return config

    @property
    def dim(self) -> int:
        """Length of a state."""
        return int(self.model.config.hidden_size)

    @property
    def max_positions(self) -> int | None:
        """The longest text in tokens, if the transformer has a limit."""
        config = self.model.config
        longest = getattr(config, "max_position_embeddings", None)
        if longest is None or longest < 1:
            return None
        return int(longest) - (config.pad_token_id + 1 if self._after_padding else 0)

    @property
    def _after_padding(self) -> bool:
        return self.model.config.model_type in MASKED_POSITIONS

    @property
    def vocabulary(self) -> int:
        """How many ids it knows."""
        return int(self.model.config.vocab_size)

    @property
    def reads_types(self) -> bool:
        """Whether it tells the first text of a pair from the second by their tokens' types."""
        return bool(getattr(self.model.config, "type_vocab_size", 0) > 1)

    def widen(self, vocabulary: int) -> None:
        """Make room for ids up to `vocabulary`; the new ones begin as the model's own weights do.

        Their values come from torch's generator, as those of a new layer.
        """
        if vocabulary > self.vocabulary:
            with _quiet():
                self.model.resize_token_embeddings(vocabulary, mean_resizing=False)

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
        """Return the last states; those of padding mean nothing.

        Args:
            ids: Token ids.                                               # [n, L]
            mask: 1 on text.                                              # [n, L]
            types: 0 on the first text of a pair, 1 on the second.        # [n, L]

        Returns:
            States.          # [n, L, d]
        """
        more = {}
        if self._after_padding:  # from the mask, so that no text depends on its padding ids
            before = self.model.config.pad_token_id
            more["position_ids"] = mask.cumsum(1) * mask + before
        if types is not None and self.reads_types:
            more["token_type_ids"] = types
        states: Tensor = self.model(input_ids=ids, attention_mask=mask, **more).last_hidden_state
        return states


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the table of unused weights and the bar: what matters raises instead."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _without_pooler(model: Any) -> Any:  # noqa: ANN401 - as above
    """Drop the layer that no pooling of ours reads, so that every weight left is trained."""
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model


def tokenizer_json(folder: str | PathLike[str]) -> str:
    """Return the tokenizer.json of the tokenizer that transformers finds in `folder`.

    Raises:
        ValueError: It exists in Python only, or cuts texts at their start.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not tokenizer.is_fast:
        raise ValueError(f"the tokenizer in {folder} has no tokenizer.json form; use its fast one")
    if tokenizer.truncation_side != "right":
        raise ValueError(f"the tokenizer in {folder} cuts texts at their start; it must at the end")
    return str(tokenizer.backend_tokenizer.to_str())
