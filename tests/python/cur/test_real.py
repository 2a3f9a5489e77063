"""On scores of a trained judge the default finds more than re-ranking, and nothing less."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from magnetite.bench import block as blocks
from magnetite.bench.cur import task
from magnetite.evaluate import paired_bootstrap
from magnetite.index.cur.tune import best, recalls, replay
from magnetite.index.cur.ways import Corrected

BLOCK = Path(__file__).parents[2] / "golden" / "cur-replay-v1" / "wordnet.npz"


@pytest.fixture(scope="module", params=["cross-encoder", "with its encoder"])
def block(request):
    """The block; and that of a judge which adds its encoder, spread as widely over the items."""
    found = blocks.load(BLOCK)
    if request.param == "cross-encoder":
        return found
    dots, some = found.dots(np.arange(len(found.scores))), found.indexing
    weight = found.scores[some].std(1).mean() / dots[some].std(1).mean()
    return replace(found, scores=found.scores + weight * dots)


def test_the_judge_is_worth_searching_by(block):
    rows = np.arange(len(block.scores))
    labels = block.labels(rows)
    judge, encoder = (
        task(best(scores, 10), labels)["accuracy"] for scores in (block.scores, block.dots(rows))
    )
    assert paired_bootstrap(encoder, judge).sign > 0


@pytest.mark.parametrize("budget", [50, 80])
def test_the_default_beats_reranking_from_ten_results_on_and_loses_nowhere(block, budget):
    """Settings are those of the code: nothing here is chosen on these queries."""
    anchors, tests = np.flatnonzero(block.indexing), np.flatnonzero(~block.indexing)
    way, scores = Corrected(), block.scores.astype(np.float64)
    vectors = block.query_vectors.astype(np.float64)
    made = way.factors(scores[anchors], vectors[anchors], block.item_vectors.astype(np.float64))
    dots = block.dots(tests)
    found = replay(made, way.rounds, scores[tests], dots, vectors[tests], budget)
    assert found.shape == (len(tests), budget)
    truth = best(scores[tests], 50)
    for k in (1, 10, 50):
        reranked, ours = recalls(best(dots, budget), truth, k), recalls(found, truth, k)
        difference = paired_bootstrap(reranked, ours)
        room = k > 1 and reranked.mean() < 0.95
        assert difference.sign >= (1 if room else 0), f"k={k}: {difference}"
