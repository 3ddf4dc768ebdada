"""Scores and compares predictions of other people's systems, from files in columns.

    from ner_utils import external
    gold, a, b = map(external.read, ("gold.conll", "system-a.conll", "system-b.conll"))
    print(external.score(gold, a))
    print(external.compare(gold, a, b))

A line holds a token and its tag (IOB1, IOB2, BIOES, BILOU, BMES, or letters without a type), separated by
tabs or spaces. Blank lines end sentences. Files are read like those of corpora.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from ner_utils import scoring
from ner_utils.config.dataset import PLAIN, SCHEMES, UNTYPED, plain, plain_tag
from ner_utils.data import spans
from ner_utils.data.corpus import DataError, Sentence
from ner_utils.data.formats.tokens.columns import read_blocks
from ner_utils.data.spans import Span
from ner_utils.messages import brief
from ner_utils.scoring import resampling, significance, span_table, surface_scores

RESAMPLES = 10_000


@dataclass(frozen=True)
class File:
    """The sentences of a file: tokens, tags in the form of `dataset.plain_tag`, the line of each token,
    and the document of each sentence, if the file names documents."""

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

    ``column`` and ``token`` are the columns of tag and token: 0 is the first, -1 the last. A line that holds
    a tab is split at tabs, any other line at spaces; with ``separator="tab"``, all lines are split at tabs.
    With ``scheme`` (iob2, iob1, bioes, bilou, bmes, io), letters of other schemes are refused. Tags without a
    type (``B``) get the type ``mention``. Raises `DataError` with file and line.
    """
    letters = SCHEMES[_known(scheme)] if scheme else "BIESLUM"
    file = File(str(path), [], [], [], [])
    forms: dict[str, str] = {}  # each tag of the file in plain form
    typed: tuple[bool, str] | None = None  # whether tags have types, and the line of the first such tag
    for document, numbers, rows in read_blocks(Path(path), separator, token, column):
        tokens, tags = tuple(row[token] for row in rows), [row[column] for row in rows]
        for number, each, tag in zip(numbers, tokens, tags, strict=True):
            if tag in forms and each.strip():
                continue
            where = f"{path}:{number}"
            if not each.strip():
                raise DataError(f"{where}: empty token")
            try:
                forms[tag] = plain_tag(tag, letters)
            except ValueError as error:
                raise DataError(f"{where}: not a tag: {brief(tag)} ({error})") from None
            if tag != "O":
                typed = typed or (len(tag) > 1, where)
                if typed[0] != (len(tag) > 1):
                    raise DataError(f"{where}: {brief(tag)}: tags with and without types; see {typed[1]}")
        file.tokens.append(tokens)
        file.tags.append([forms[tag] for tag in tags])
        file.lines.append(numbers)
        file.documents.append(document)
    if not file.tokens:
        raise DataError(f"{path}: no sentence")
    return file


def score(gold: File, predicted: File, discard: str | None = None, by_position: bool = False) -> pd.DataFrame:
    """Scores in percent: micro, macro and weighted, those of other matching rules, and each type as
    ``type: LOC``.

    Ill-formed tags are repaired. With ``discard``, the scheme of gold (iob2, iob1, bioes, bilou, bmes), they
    are ignored instead. Files must hold the same tokens or, with ``by_position``, the same number of tokens
    in each sentence. Raises `DataError` if they do not.
    """
    tables = _tables(gold, predicted, discard=discard, by_position=by_position)
    counts = scoring.total(scoring.rows(scoring.count(*tables), tables[0].types))
    scores = {
        "micro": scoring.micro(counts),
        "macro": scoring.macro(counts),
        "weighted": scoring.weighted(counts),
    }
    tallies = scoring.tally(*tables)
    scores |= {name: tallies[name].score for name in scoring.SCHEMES[1:]}
    gold_spans, predicted_spans = map(_spans, tables)
    sentences = [Sentence("", None, *row) for row in zip(gold.tokens, gold_spans, strict=True)]
    by_others = surface_scores.scores(sentences, predicted_spans)
    scores |= {name.replace("_", " "): score for name, score in by_others.items()}
    # With a prefix, because a type may have the name of a row above.
    scores |= {f"type: {kind}": score for kind, score in scoring.by_type(counts).items()}
    frame = pd.DataFrame(scores, index=scoring.Score._fields).T
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
    """Compares two systems: both scores and their difference a - b in percent, its 95 % interval, the p-value
    of approximate randomisation, and the smallest difference that would be found.

    Documents are resampled, or sentences if gold names too few documents; ``resampled`` says which.
    ``by_position`` is explained at `score`.
    """
    table, *others = _tables(gold, a, b, by_position=by_position)
    counts = [scoring.count(table, other)[None].astype(float) for other in others]
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
    """All files as tables of spans with the same list of types."""
    for other in others:
        _check_sentences(gold, other, by_position)
    files = (gold, *others)
    types = [{tag[2:] for tags in file.tags for tag in tags if tag != "O"} for file in files]
    for file, kinds in zip(files[1:], types[1:], strict=True):
        if types[0] and kinds and {UNTYPED} in (types[0], kinds) and not types[0] & kinds:
            untyped, typed = (gold, file) if types[0] == {UNTYPED} else (file, gold)
            raise DataError(f"{untyped.path} has tags without types, {typed.path} with types")
    if discard:
        _check_scheme(gold, _known(discard))
    scheme = discard and plain(discard)
    return [span_table.from_tags(file.tags, sorted(set.union(*types)), scheme) for file in files]


def _check_sentences(gold: File, other: File, by_position: bool) -> None:
    """Raise `DataError` at the first token or sentence that differs."""
    for at, sentences in enumerate(zip(gold.tokens, other.tokens, strict=False)):
        places = [[f"{file.path}:{line}" for line in file.lines[at]] for file in (gold, other)]
        for expected, token, there, here in () if by_position else zip(*sentences, *places, strict=False):
            if expected != token:
                raise DataError(f"{here}: token {brief(token)}, but {there} has {brief(expected)}")
        expected, length = map(len, sentences)
        if length != expected:
            raise DataError(
                f"{places[1][0]}: a sentence of {length} tokens, but that at {places[0][0]} has {expected}"
            )
    if len(gold.tokens) != len(other.tokens):
        raise DataError(
            f"{other.path}: {len(other.tokens)} sentences, but {gold.path} has {len(gold.tokens)}"
        )


def _check_scheme(gold: File, scheme: str) -> None:
    """Raise `DataError` if the tags of gold fit another scheme better."""
    repairs = {each: sum(spans.spans_from_tags(tags, each)[1] for tags in gold.tags) for each in PLAIN}
    best, declared = min(repairs, key=repairs.__getitem__), plain(scheme)
    if repairs[declared] > repairs[best]:
        raise DataError(
            f"discard={scheme!r}: {gold.path} is not written in that scheme, which would discard "
            f"{repairs[declared]} of its tags; {best} would discard {repairs[best]}"
        )


def _known(scheme: str) -> str:
    if scheme not in SCHEMES:
        raise ValueError(f"unknown scheme {brief(scheme)}; there are {', '.join(SCHEMES)}")
    return scheme


def _spans(table: span_table.SpanTable) -> list[tuple[Span, ...]]:
    rows: list[list[Span]] = [[] for _ in range(table.sentences)]
    for sentence, start, end, kind in table.columns.tolist():
        rows[sentence].append(Span(start, end, table.types[kind]))
    return [tuple(row) for row in rows]
