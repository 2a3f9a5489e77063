"""On scores of a trained judge the default finds more than re-ranking, and nothing less."""

from pathlib import Path

import numpy as np
import pytest

from magnetite.bench import block as blocks
from magnetite.bench.cur import task
from magnetite.evaluate import paired_bootstrap
from magnetite.index.cur.tune import best, recalls, replay
from magnetite.index.cur.ways import Corrected

BLOCK = Path(__file__).parents[2] / "golden" / "cur-replay-v1" / "wordnet.npz"


@pytest.fixture(scope="module")
def block():
    return blocks.load(BLOCK)


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
        assert difference.sign >= (0 if k == 1 else 1), f"k={k}: {difference}"
