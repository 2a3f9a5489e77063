"""Measures of a run, by name, through ir-measures (the extra `eval`)."""

import ast
from collections.abc import Iterable, Sequence
from types import ModuleType

from magnetite.evaluate.beir import Qrels
from magnetite.evaluate.runs import Run
from magnetite.extras import need

Scores = dict[str, dict[str, float]]
"""Measure -> query id -> value, for every judged query."""

DEFAULT = ("nDCG@10", "RR@10", "R@10", "R@100")


def score(qrels: Qrels, run: Run, measures: Sequence[str] = DEFAULT) -> Scores:
    """Return each measure's value for every judged query; a query the run lacks has 0.

    The values are those of the measure's own tool (nDCG: trec_eval), its rule for equal scores
    included: trec_eval puts the higher document id first.

    Raises:
        ValueError: A measure that ir-measures does not know.
        MissingExtraError: The extra `eval` is not installed.
    """
    ir_measures = check_installed()
    parsed = {}
    for name in measures:
        try:
            parsed[_measure(ir_measures, name)] = name
        except (KeyError, SyntaxError, TypeError, ValueError) as error:
            raise ValueError(
                f"unknown measure {name!r}: expected one such as nDCG@10, RR@10, AP, R@100"
            ) from error
    scores: Scores = {name: dict.fromkeys(qrels, 0.0) for name in measures}
    found = {query: hits for query, hits in run.items() if query in qrels}
    if found:
        for value in ir_measures.iter_calc(list(parsed), qrels, found):
            scores[parsed[value.measure]][value.query_id] = float(value.value)
    return scores


def check_installed() -> ModuleType:
    """Return ir-measures, once it is known that it can compute.

    Raises:
        MissingExtraError: The extra `eval` is not installed.
    """
    need("pytrec_eval", extra="eval", purpose="evaluation")
    return need("ir_measures", extra="eval", purpose="evaluation")


def _measure(ir_measures: ModuleType, name: str) -> object:
    """Return what `name` stands for, written as ir-measures writes it: nDCG@10, P(rel=2)@5.

    Its own `parse_measure` (0.4.3) needs `ast.Num`, which Python 3.14 no longer has.
    """
    node, cutoff, options = ast.parse(name, mode="eval").body, None, {}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        cutoff = ast.literal_eval(node.right)
        node = node.left
    if isinstance(node, ast.Call) and not node.args:
        options = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}
        node = node.func
    if not isinstance(node, ast.Name):
        raise ValueError("neither a name nor a name with options")
    measure = ir_measures.measures.registry[node.id](**options)
    return measure if cutoff is None else measure @ cutoff


def mean(values: dict[str, float], queries: Iterable[str] | None = None) -> float:
    """Return the mean over `queries`, by default all.

    Raises:
        ValueError: There are none.
    """
    chosen = list(values if queries is None else queries)
    if not chosen:
        raise ValueError("expected at least one query to take a mean of, got none")
    return sum(values[query] for query in chosen) / len(chosen)
