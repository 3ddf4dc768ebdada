"""Anybody's predictions: files in columns, scored and compared at a Python prompt.

    from ner_utils import external
    gold, mine, other = map(external.read, ("gold.conll", "mine.conll", "other.conll"))
    print(external.score(gold, mine))
    print(external.compare(gold, mine, other))

A line holds a token first and its tag last (IOB1, IOB2 or BIOES), separated by tabs or spaces; blank lines
end sentences, and a line that begins with -DOCSTART- begins a document.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ner_utils import conventions, scoring, span_table, statistics
from ner_utils.data import DataError, Sentence
from ner_utils.spans import Span

RESAMPLES = 10_000


@dataclass(frozen=True)
class File:
    """A file's sentences: tokens and tags, the line at which each begins, and its document, if any."""

    path: str
    tokens: list[tuple[str, ...]]
    tags: list[list[str]]
    lines: list[int]
    documents: list[str | None]


def read(path: str | Path) -> File:
    """Read a file in columns. Raises `DataError` with the line that is not of this form."""
    found = File(str(path), [], [], [], [])
    document, fresh = None, True
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason})") from None
    for number, line in enumerate(text.split("\n"), 1):
        cells = [cell for cell in line.rstrip("\r").replace("\t", " ").split(" ") if cell]
        if not cells or cells[0] == "-DOCSTART-":
            fresh = True
            document = f"document {number}" if cells else document
            continue
        if len(cells) < 2:
            raise DataError(f"{path}:{number}: expected a token and a tag, found one column")
        if fresh:
            for column, value in (
                (found.tokens, ()),
                (found.tags, []),
                (found.lines, number),
                (found.documents, document),
            ):
                column.append(value)
            fresh = False
        found.tokens[-1] += (cells[0],)
        found.tags[-1].append(cells[-1])
    return found


def score(gold: File, predicted: File, discard: str | None = None) -> pd.DataFrame:
    """Micro, macro and weighted scores, those of other schemes and by the rules of others, each type: in
    percent. Ill-formed tags are repaired, or, with ``discard`` naming the scheme (iob2, iob1, bioes), mean
    nothing."""
    right, said = _tables(gold, predicted, discard=discard)
    counts = scoring.total(scoring.rows(scoring.count(right, said), right.types))
    found = {
        "micro": scoring.micro(counts),
        "macro": scoring.macro(counts),
        "weighted": scoring.weighted(counts),
    }
    tallies = scoring.tally(right, said)
    found |= {name: tallies[name].score for name in scoring.SCHEMES[1:]}
    spans = [_spans(table) for table in (right, said)]
    sentences = [Sentence("", None, tokens, row) for tokens, row in zip(gold.tokens, spans[0], strict=True)]
    found |= {name.replace("_", " "): each for name, each in conventions.scores(sentences, spans[1]).items()}
    found |= scoring.by_type(counts)
    frame = pd.DataFrame(found, index=scoring.Score._fields).T
    return (frame * [100, 100, 100, 1]).round(2)


def compare(
    gold: File, a: File, b: File, metric: str = "micro_f1", resamples: int = RESAMPLES, seed: int = 0
) -> pd.Series:
    """Both scores and their difference a - b in percent, its 95 % interval, the p-value of approximate
    randomisation, the smallest difference that would be found, and what was resampled: documents, or
    sentences where gold names fewer than `statistics.LEAST` documents."""
    right, *sides = _tables(gold, a, b)
    counts = [scoring.count(right, side)[None].astype(float) for side in sides]
    groups, resampled = statistics.grouping(gold.documents)
    scores = [statistics.interval(side, groups, metric, 1, seed).estimate for side in counts]
    bounds = statistics.interval(counts[0], groups, metric, resamples, seed, counts[1])
    least = statistics.smallest_difference(*counts, groups, metric, alpha=0.05)
    p = statistics.paired_test(*counts, groups, metric, resamples, seed)
    names = ("a", "b", "difference", "low", "high", "smallest to be found")
    values = [100 * value for value in (*scores, *bounds, least)]
    rounded = {key: round(value, 4) for key, value in zip((*names, "p"), (*values, p), strict=True)}
    return pd.Series(rounded | {"resampled": resampled}, name=metric)


def _tables(gold: File, *others: File, discard: str | None = None) -> list[span_table.SpanTable]:
    """All files as tables of spans with the same types. Raises `DataError` where they tell different
    sentences, or a tag is none."""
    for other in others:
        for at, (mine, theirs) in enumerate(zip(gold.tokens, other.tokens, strict=False)):
            if mine != theirs:
                raise DataError(
                    f"{other.path}:{other.lines[at]}: another sentence than {gold.path}:{gold.lines[at]}"
                )
        if len(gold.tokens) != len(other.tokens):
            raise DataError(
                f"{other.path}: {len(other.tokens)} sentences, {gold.path} has {len(gold.tokens)}"
            )
    files = (gold, *others)
    try:
        types = sorted({kind for file in files for kind in span_table.from_tags(file.tags).types})
        return [span_table.from_tags(file.tags, types, discard) for file in files]
    except ValueError as error:
        raise DataError(f"{', '.join(file.path for file in files)}: {error}") from None


def _spans(table: span_table.SpanTable) -> list[tuple[Span, ...]]:
    rows: list[list[Span]] = [[] for _ in range(table.sentences)]
    for sentence, start, end, kind in table.columns.tolist():
        rows[sentence].append(Span(start, end, table.types[kind]))
    return [tuple(row) for row in rows]
