"""Which queries ask for documents that training queries also asked for."""

from magnetite.evaluate.beir import Qrels


def split_by_training(qrels: Qrels, training: Qrels) -> dict[str, list[str]]:
    """Return the judged queries in two groups, `unseen` and `seen`, each in the order of `qrels`.

    A query is seen when one of its relevant documents is relevant to a training query as well: a
    model trained on those may have learnt which documents get asked about, not how to search.
    """
    asked = {document for judged in training.values() for document in relevant(judged)}
    groups: dict[str, list[str]] = {"unseen": [], "seen": []}
    for query, judged in qrels.items():
        groups["seen" if relevant(judged) & asked else "unseen"].append(query)
    return groups


def relevant(judged: dict[str, int]) -> set[str]:
    """Return the documents judged above 0."""
    return {document for document, relevance in judged.items() if relevance > 0}
