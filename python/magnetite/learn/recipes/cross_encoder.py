"""A query and a document read together, the right one scored above those mined as hard.

Paper: Yadav et al., "Efficient Nearest Neighbor Search for Cross-Encoder Models using Matrix
    Factorization" (EMNLP 2022): [CLS]-CE and [EMB]-CE, softmax over mined hard negatives.
Asks: texts `query` and `document`; optionally texts `negatives`, lists, with the fact `teacher`
    [n, 1 + m], scores of document and negatives; the fact `relevant` [n, r], rows that fit, or -1.
Settings: batch 1, lr 1e-5, weight decay 0.01, 4 epochs, warm-up 0.01, clip 1 (the authors').
Differs: negatives are mined by the encoder that it begins as; other losses and a score by sides
    beside the paper's; the document loses its end in a pair that is too long.
Tags: reranking, supervised, hard negatives, distillation
"""

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F

from magnetite.encode.frame import Frame
from magnetite.learn.data import Data
from magnetite.learn.data.mine import with_mined
from magnetite.learn.data.stream import WHOLE, brackets
from magnetite.learn.encoders import CrossEncoder, Frozen, StaticEncoder, Tower, embed
from magnetite.learn.method import Method
from magnetite.learn.objectives import info_nce, listwise_kl, margin_mse
from magnetite.learn.objectives.ranking import mean_kept, pairwise, pointwise
from magnetite.learn.pairs import fitting, strangers
from magnetite.learn.types import Batch, Embedder, Embeddings, Facts, Infer, Losses, Phase
from magnetite.learn.views import below, beside, join, picked, some
from magnetite.text import Tokenizer


@dataclass(frozen=True)
class Config:
    """What the authors chose; each loss has its weight."""

    markers: str = "[Q] [D]"  # whose states score, the last one's documents; "": the first token's
    in_text: bool = False  # the texts hold the markers; else they are put before them
    sides: bool = False  # score by the cosine of both sides' mean states, which markers tell apart
    softmax: float = 1.0  # of the cross-entropy over the document and its negatives
    pairwise: float = 0.0  # of the logistic loss of the document against each negative
    pointwise: float = 0.0  # of the cross-entropy of each score's sigmoid
    listwise: float = 0.0  # of the divergence from the teacher's softmax
    margins: float = 0.0  # of the squared difference from the teacher's margins
    negatives: int = 63  # drawn for each query in each step
    mining: bool = True  # train on mined negatives, after those that the data bring
    mining_depth: int = 64  # how many are mined
    mining_margin: float | None = None  # share of the document's similarity to stay below


class CrossEncoding(Method):
    """Losses over the scores of each query's document and negatives."""

    def __init__(self, embedder: Embedder, config: Config | None = None) -> None:
        super().__init__()
        self.config = config or Config()
        self.embedder, self.miner = embedder, None
        if isinstance(embedder, Tower | StaticEncoder):
            how = {"in_text": self.config.in_text, "sides": self.config.sides}
            self.embedder = CrossEncoder.over(embedder, self.config.markers.split(), **how)
            self.miner = Frozen(embedder)
        tokenizer, longest = self.embedder.tokenizer, self.embedder.max_tokens or WHOLE
        if not isinstance(tokenizer, Tokenizer):
            raise ValueError("a cross-encoder is trained on texts; its embedder has no tokenizer")
        self.known = tokenizer.vocab_size - len(self.config.markers.split())  # the miner's ids
        around = [len(some) for some in brackets(tokenizer)]
        self.join = partial(join, frame=Frame.of(tokenizer), brackets=around, max_tokens=longest)

    def phase(self, k: int, data: Data, infer: Infer) -> Phase | None:
        """Return the data as given, if they bring negatives, then with mined ones."""
        config, given = self.config, "negatives" in data.columns
        if given and k == 0:
            return Phase(data)
        if not config.mining or k > given:
            return None
        depth = config.mining_depth
        mined = with_mined(infer, data, count=depth, depth=depth, margin=config.mining_margin)
        return Phase(Data({k: v for k, v in mined.columns.items() if k != "teacher"}, data.corpus))

    def draw(self, batch: Batch) -> Batch:
        """Return the batch with some of each query's negatives, drawn anew each step."""
        rows = batch.facts["negatives_row"]
        places = some(rows, batch.facts["key"], self.config.negatives)
        facts = {"negatives_row": rows.gather(1, places)}
        if "teacher" in batch.facts:
            facts["teacher"] = batch.facts["teacher"].gather(1, F.pad(places + 1, (1, 0)))
        drawn = picked(batch.texts("negatives"), places)
        return batch.having(inputs={"negatives": drawn}, facts=facts)

    def encode(self, batch: Batch) -> Embeddings:
        """Return the scores of the candidates; of texts of one side, the miner's vectors."""
        if "negatives" in batch.inputs:
            documents = beside(batch.texts("document"), batch.texts("negatives"))
            pairs, types = self.join(batch.texts("query"), documents)
            scores = self.embedder(pairs.ids, pairs.mask, types)
            return {"scores": scores.view(documents.ids.shape[:2])}
        if self.miner is None:
            raise ValueError("a cross-encoder cannot mine for itself; give the column `negatives`")
        bare = {name: below(batch.texts(name), self.known) for name in batch.inputs}
        return {name: embed(self.miner, rows) for name, rows in bare.items()}

    def loss(self, z: Embeddings, facts: Facts) -> Losses:
        """Return every loss that has a weight, over each query's own candidates."""
        scores, config = z["scores"], self.config
        keep = strangers(facts["negatives_row"], fitting(facts))
        all_kept = F.pad(keep, (1, 0), value=True)
        positive, negative = scores[:, 0], scores[:, 1:]
        first = torch.zeros_like(positive, dtype=torch.int64)
        label = F.one_hot(first, scores.shape[1])
        rows = {
            "softmax": config.softmax * info_nce(scores, first, keep=all_kept),
            "pairwise": config.pairwise * pairwise(positive, negative, keep=keep),
            "pointwise": config.pointwise * pointwise(scores, label, keep=all_kept),
        }
        if "teacher" in facts:
            taught = facts["teacher"].to(scores.dtype)
            apart = margin_mse(positive[:, None], negative, taught[:, :1], taught[:, 1:])
            rows["listwise"] = config.listwise * listwise_kl(scores, taught, keep=all_kept)
            rows["margins"] = config.margins * mean_kept(apart, keep)
        return {name: losses.mean() for name, losses in rows.items()}
