"""BEIR folders: corpus.jsonl, queries.jsonl and qrels/<split>.tsv, each plain or gzipped."""

from dataclasses import dataclass
from pathlib import Path

from magnetite._core import FormatError
from magnetite.lines import bad_row, found, json_rows, text_lines

Qrels = dict[str, dict[str, int]]
"""Query id -> document id -> relevance; 0 is judged and not relevant."""


@dataclass(frozen=True)
class Corpus:
    """Documents in the order of their file; ids are unique."""

    ids: list[str]
    titles: list[str]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def passages(self) -> list[str]:
        """Return what an encoder reads: the title, a space, the text."""
        return [
            f"{title} {text}".strip() for title, text in zip(self.titles, self.texts, strict=True)
        ]


@dataclass(frozen=True)
class Beir:
    """One split of a BEIR folder: `queries` holds the judged ones, in the order of their file."""

    name: str
    split: str
    corpus: Corpus
    queries: dict[str, str]
    qrels: Qrels


def read_beir(folder: str | Path, *, split: str = "test") -> Beir:
    """Return one split of the BEIR folder.

    Raises:
        FileNotFoundError: A file is missing; the splits at hand are named.
        FormatError: A bad row, a judged query without a text, or a document judged relevant that
            the corpus lacks.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder; a BEIR folder holds corpus.jsonl, queries.jsonl and qrels/"
        )
    judgements = split_path(folder, split)
    corpus = read_corpus(found(folder / "corpus.jsonl"))
    queries_path = found(folder / "queries.jsonl")
    texts = read_queries(queries_path)
    qrels = read_qrels(judgements)
    unknown = [query for query in qrels if query not in texts]
    if unknown:
        raise FormatError(f"{judgements}: judges query {unknown[0]!r}, which {queries_path} lacks")
    known = set(corpus.ids)
    for query, judged in qrels.items():
        for document, relevance in judged.items():
            if relevance > 0 and document not in known:
                raise FormatError(
                    f"{judgements}: document {document!r}, relevant to query {query!r}, "
                    "is not in the corpus"
                )
    judged_queries = {query: text for query, text in texts.items() if query in qrels}
    return Beir(folder.resolve().name, split, corpus, judged_queries, qrels)


def split_path(folder: Path, split: str) -> Path:
    """Return the file of judgements of `split`, or say which splits there are."""
    try:
        return found(folder / "qrels" / f"{split}.tsv")
    except FileNotFoundError as error:
        at_hand = sorted(path.name.partition(".tsv")[0] for path in folder.glob("qrels/*.tsv*"))
        said = f"it has {', '.join(at_hand)}" if at_hand else "it has no qrels/*.tsv"
        raise FileNotFoundError(f"{folder}: no split {split!r}; {said}") from error


def read_corpus(path: str | Path) -> Corpus:
    """Return the documents of a JSONL file of `_id`, `text` and, if present, `title`.

    Raises:
        FormatError: A bad row, an id given twice, or no document at all.
    """
    path = Path(path)
    lines: dict[str, int] = {}
    titles, texts = [], []
    for number, row in json_rows(path, _id=str, text=str):
        document = row["_id"]
        if document in lines:
            raise bad_row(path, number, f"id {document!r} is taken by line {lines[document]}")
        title = row.get("title") or ""
        if not isinstance(title, str):
            raise bad_row(path, number, f"expected 'title' as str, got {type(title).__name__}")
        lines[document] = number
        titles.append(title)
        texts.append(row["text"])
    if not lines:
        raise FormatError(
            f'{path}: no documents; each line holds one as {{"_id", "title", "text"}}'
        )
    return Corpus(list(lines), titles, texts)


def read_queries(path: Path) -> dict[str, str]:
    """Return query id -> text, in the order of the file.

    Raises:
        FormatError: A bad row or an id given twice.
    """
    queries: dict[str, str] = {}
    for number, row in json_rows(path, _id=str, text=str):
        if row["_id"] in queries:
            raise bad_row(path, number, f"query id {row['_id']!r} is given twice")
        queries[row["_id"]] = row["text"]
    return queries


def read_qrels(path: str | Path) -> Qrels:
    """Return the judgements of a BEIR file (header, three tabbed fields) or a TREC one (four).

    Raises:
        FormatError: A bad row, a pair judged twice, or no judgement at all.
    """
    path = Path(path)
    qrels: Qrels = {}
    for number, line in text_lines(path):
        fields = line.split("\t")
        if len(fields) != 3 and len(fields := line.split()) == 4:
            del fields[1]
        if len(fields) != 3:
            raise bad_row(path, number, "expected query-id, corpus-id and score between tabs")
        query, document, relevance = fields
        if number == 1 and relevance.strip() == "score":
            continue
        try:
            judged = int(relevance)
        except ValueError:
            raise bad_row(path, number, f"expected a whole number, got {relevance!r}") from None
        if document in qrels.setdefault(query, {}):
            raise bad_row(path, number, f"query {query!r} and document {document!r} come twice")
        qrels[query][document] = judged
    if not qrels:
        raise FormatError(f"{path}: no judgements")
    return qrels
