"""Anybody's predictions: files in columns, scored and compared at a Python prompt.

    from ner_utils import external
    gold, mine, other = map(external.read, ("gold.conll", "mine.conll", "other.conll"))
    print(external.score(gold, mine))
    print(external.compare(gold, mine, other))

Files are read as those of corpora are (`columns.read_blocks`): a line holds a token and its tag (IOB1, IOB2,
BIOES, BILOU, BMES, or letters without a type), separated by tabs or spaces; blank lines end sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from ner_utils import scoring
from ner_utils.config import tag_schemes
from ner_utils.data import spans
from ner_utils.data.corpus import DataError, Sentence
from ner_utils.data.formats.columns import read_blocks
from ner_utils.data.spans import Span
from ner_utils.messages import brief
from ner_utils.scoring import resampling, significance, span_table, surface_scores

RESAMPLES = 10_000


@dataclass(frozen=True)
class File:
    """A file's sentences: tokens, their tags as `tag_schemes.plain_tag` has them, the lines on which they
    stand, and the document of each sentence, if any."""

    path: str
    tokens: list[tuple[str, ...]]
    tags: list[list[str]]
    lines: list[list[int]]
    documents: list[str | None]


def read(
    path: str | Path,
    column: int = -1,
    token: int = 0,
    separator: Literal["tab", "space"] = "space",
    scheme: str | None = None,
) -> File:
    """Read a file in columns.

    ``column`` and ``token`` are the places of tag and token: 0 is the first column, -1 the last. A line that
    holds a tab is split at tabs, any other at spaces; with ``separator="tab"`` all are split at tabs. With
    ``scheme`` (iob2, iob1, bioes, bilou, bmes), letters of others are refused. Tags without a type (``B``)
    have the type ``mention``. Raises `DataError` with file and line.
    """
    letters = tag_schemes.SCHEMES[_known(scheme)] if scheme else "BIESLUM"
    found = File(str(path), [], [], [], [])
    meanings: dict[str, str] = {}
    typed: tuple[bool, str] | None = None  # whether tags have types, and where the first one stands
    for document, numbers, rows in read_blocks(Path(path), separator, token, column):
        tokens, tags = tuple(row[token] for row in rows), [row[column] for row in rows]
        for number, each, tag in zip(numbers, tokens, tags, strict=True):
            if tag in meanings and each.strip():
                continue
            where = f"{path}:{number}"
            if not each.strip():
                raise DataError(f"{where}: empty token")
            try:
                meanings[tag] = tag_schemes.plain_tag(tag, letters)
            except ValueError as error:
                raise DataError(f"{where}: not a tag: {brief(tag)} ({error})") from None
            if tag != "O":
                typed = typed or ("-" in tag, where)
                if typed[0] != ("-" in tag):
                    raise DataError(f"{where}: {brief(tag)}: tags with and without types; see {typed[1]}")
        found.tokens.append(tokens)
        found.tags.append([meanings[tag] for tag in tags])
        found.lines.append(numbers)
        found.documents.append(document)
    if not found.tokens:
        raise DataError(f"{path}: no sentence")
    return found


def score(gold: File, predicted: File, discard: str | None = None, by_position: bool = False) -> pd.DataFrame:
    """Micro, macro and weighted scores, those of other schemes and by the rules of others, and each type as
    ``type: LOC``: in percent.

    Ill-formed tags are repaired, or, with ``discard`` naming the scheme of gold (iob2, iob1, bioes, bilou,
    bmes), mean nothing. Files must hold the same tokens, or, with ``by_position``, as many in each sentence.
    Raises `DataError` where they do not.
    """
    right, said = _tables(gold, predicted, discard=discard, by_position=by_position)
    counts = scoring.total(scoring.rows(scoring.count(right, said), right.types))
    found = {
        "micro": scoring.micro(counts),
        "macro": scoring.macro(counts),
        "weighted": scoring.weighted(counts),
    }
    tallies = scoring.tally(right, said)
    found |= {name: tallies[name].score for name in scoring.SCHEMES[1:]}
    gold_spans, said_spans = _spans(right), _spans(said)
    sentences = [Sentence("", None, *row) for row in zip(gold.tokens, gold_spans, strict=True)]
    by_others = surface_scores.scores(sentences, said_spans)
    found |= {name.replace("_", " "): each for name, each in by_others.items()}
    # A type may have the name of a row above.
    found |= {f"type: {kind}": each for kind, each in scoring.by_type(counts).items()}
    frame = pd.DataFrame(found, index=scoring.Score._fields).T
    return (frame * [100, 100, 100, 1]).round(2)


def compare(
    gold: File,
    a: File,
    b: File,
    metric: str = "micro_f1",
    resamples: int = RESAMPLES,
    seed: int = 0,
    by_position: bool = False,
) -> pd.Series:
    """Both scores and their difference a - b in percent, its 95 % interval, the p-value of approximate
    randomisation, the smallest difference that would be found, and what was resampled: documents, or
    sentences where gold names fewer than `statistics.LEAST` documents. ``by_position`` as in `score`."""
    right, *sides = _tables(gold, a, b, by_position=by_position)
    counts = [scoring.count(right, side)[None].astype(float) for side in sides]
    groups, resampled = resampling.grouping(gold.documents)
    scores = [resampling.interval(side, groups, metric, 1, seed).estimate for side in counts]
    bounds = resampling.interval(counts[0], groups, metric, resamples, seed, counts[1])
    least = significance.smallest_difference(*counts, groups, metric, alpha=0.05)
    p = significance.paired_test(*counts, groups, metric, resamples, seed)
    names = ("a", "b", "difference", "low", "high", "smallest to be found")
    values = [100 * value for value in (*scores, *bounds, least)]
    rounded = {key: round(value, 4) for key, value in zip((*names, "p"), (*values, p), strict=True)}
    return pd.Series(rounded | {"resampled": resampled}, name=metric)


def _tables(
    gold: File, *others: File, discard: str | None = None, by_position: bool = False
) -> list[span_table.SpanTable]:
    """All files as tables of spans with the same types."""
    for other in others:
        _check_sentences(gold, other, by_position)
    files = (gold, *others)
    kinds = [set(span_table.from_tags(file.tags).types) for file in files]
    for file, found in zip(files[1:], kinds[1:], strict=True):
        if kinds[0] and found and ({tag_schemes.UNTYPED} in (kinds[0], found)) and not kinds[0] & found:
            one, other = (gold, file) if kinds[0] == {tag_schemes.UNTYPED} else (file, gold)
            raise DataError(f"{one.path} has tags without types, {other.path} with types")
    if discard:
        _check_scheme(gold, _known(discard))
    types = sorted(set.union(*kinds))
    return [span_table.from_tags(file.tags, types, discard and tag_schemes.plain(discard)) for file in files]


def _check_sentences(gold: File, other: File, by_position: bool) -> None:
    """Raise `DataError` at the first token or sentence that differs."""
    for at, (right, said) in enumerate(zip(gold.tokens, other.tokens, strict=False)):
        wheres = [[f"{file.path}:{line}" for line in file.lines[at]] for file in (gold, other)]
        for wanted, token, where, here in () if by_position else zip(right, said, *wheres, strict=False):
            if wanted != token:
                raise DataError(f"{here}: token {brief(token)}, where {where} has {brief(wanted)}")
        if len(right) != len(said):
            raise DataError(
                f"{wheres[1][0]}: a sentence of {len(said)} tokens; that at {wheres[0][0]} has {len(right)}"
            )
    if len(gold.tokens) != len(other.tokens):
        raise DataError(f"{other.path}: {len(other.tokens)} sentences, {gold.path} has {len(gold.tokens)}")


def _check_scheme(gold: File, scheme: str) -> None:
    """Raise `DataError` where another scheme would have written more of the tags of gold."""
    repairs = {
        each: sum(spans.spans_from_tags(tags, each)[1] for tags in gold.tags) for each in tag_schemes.PLAIN
    }
    best, declared = min(repairs, key=repairs.__getitem__), tag_schemes.plain(scheme)
    if repairs[declared] > repairs[best]:
        raise DataError(
            f"discard={scheme!r}: {gold.path} is not written in that scheme, which would discard "
            f"{repairs[declared]} of its tags; {best} would discard {repairs[best]}"
        )


def _known(scheme: str) -> str:
    if scheme not in tag_schemes.SCHEMES:
        raise ValueError(f"unknown scheme {brief(scheme)}; there are {', '.join(tag_schemes.SCHEMES)}")
    return scheme


def _spans(table: span_table.SpanTable) -> list[tuple[Span, ...]]:
    rows: list[list[Span]] = [[] for _ in range(table.sentences)]
    for sentence, start, end, kind in table.columns.tolist():
        rows[sentence].append(Span(start, end, table.types[kind]))
    return [tuple(row) for row in rows]
