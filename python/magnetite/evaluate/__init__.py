"""Judge rankings and similarities: BEIR folders, STS files, runs, metrics, bootstrap, reports."""

from magnetite.evaluate.beir import Beir, Corpus, Qrels, read_beir, read_corpus, read_qrels
from magnetite.evaluate.bootstrap import Difference, paired_bootstrap
from magnetite.evaluate.metrics import Scores, mean, score
from magnetite.evaluate.report import Example, Report, Shown, System
from magnetite.evaluate.runs import Run, read_run, run_of, write_run
from magnetite.evaluate.seen import split_by_training
from magnetite.evaluate.sts import SentencePairs, cosines, read_sts, spearman

__all__ = [
    "Beir",
    "Corpus",
    "Difference",
    "Example",
    "Qrels",
    "Report",
    "Run",
    "Scores",
    "SentencePairs",
    "Shown",
    "System",
    "cosines",
    "mean",
    "paired_bootstrap",
    "read_beir",
    "read_corpus",
    "read_qrels",
    "read_run",
    "read_sts",
    "run_of",
    "score",
    "spearman",
    "split_by_training",
    "write_run",
]
