"""The audit of a corpus: what a reader should know before trusting a score on it.

An audit holds numbers and never text, so that it may be published where the corpus may not.
Surfaces are compared in lower case, because capitals in user-generated text mean little, and
because an uncased model sees no difference; a case-sensitive count stands beside.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ner_utils import data, paths, sealed, stages
from ner_utils.config.schema import Dataset
from ner_utils.data.corpus import DataError, Sentence
from ner_utils.data.formats.lines import DROPPED
from ner_utils.data.formats.standoff import CHANGES
from ner_utils.data.spans import Span, surface
from ner_utils.sealed import ResultError


def audit(name: str, dataset: Dataset, corpus: dict[str, list[Sentence]]) -> dict[str, Any]:
    """Numbers of a corpus, ready for JSON; ``corpus`` maps split names, ``train`` among them.

    - ``name``: the corpus' id
    - ``splits``: for each split what `_split` counts, and for all but train what `_overlap` counts
      (the same keys, None, in train)
    - ``surfaces``: distinct surfaces of mentions in the whole corpus, in lower case
    - ``ambiguous_surfaces``: those of them that are annotated with two or more types
    """
    types: dict[str, set[str]] = defaultdict(set)
    for sentence, span in _mentions([s for sentences in corpus.values() for s in sentences]):
        types[surface(sentence.tokens, span).lower()].add(span.type)
    nothing = dict.fromkeys(_overlap([], []))
    return {
        "name": name,
        "splits": {
            split: _split(sentences, dataset)
            | (nothing if split == "train" else _overlap(sentences, corpus["train"]))
            for split, sentences in corpus.items()
        },
        "surfaces": len(types),
        "ambiguous_surfaces": sum(len(kinds) > 1 for kinds in types.values()),
    }


def file(study: str, name: str) -> Path:
    """Where a study keeps the audit of a corpus."""
    return paths.RESULTS / study / name / "audit.json"


def store(study: str, name: str, dataset: Dataset, corpus: dict[str, list[Sentence]]) -> dict[str, Any]:
    """Audit a corpus, compute the agreement of its annotators, and store both for a study; returns both with
    the checksums of the corpus' files."""
    values = {
        "stages": stages.numbers("data", "audit"),
        "inputs": data.digests(name, dataset),
        "audit": audit(name, dataset, corpus),
        "agreement": agreement(paths.data_dirs(name)),
    }
    sealed.write_json(file(study, name), values)
    return values


def load(study: str, name: str) -> dict[str, Any]:
    """A stored audit. Raises `ResultError` where it is missing, made by other rules, or was changed since."""
    path, again = file(study, name), f"run make study STUDY={study}"
    if not path.is_file():
        raise ResultError(f"{paths.relative(path)}: no audit of the corpus; {again}")
    values = sealed.read_json(path, again)
    if values["stages"] != stages.numbers("data", "audit"):
        raise ResultError(f"{paths.relative(path)}: made by other rules; {again}")
    return values


def _split(sentences: Sequence[Sentence], dataset: Dataset) -> dict[str, Any]:
    """What a split holds by itself.

    - ``sentences``, ``documents`` (None where sentences without a document occur), ``tokens``,
      ``mentions``, and ``types``: mentions by type, zeros included
    - ``empty_sentences`` and ``empty_share``: sentences without a mention
    - ``sentence_tokens``: p50, p95 and max of sentence lengths; percentiles are lengths that occur
    - ``mention_tokens``: mentions of 1, 2, and 3 or more tokens
    - ``duplicates``: sentences with the same tokens as an earlier one
    - ``conflicting_sentences``: distinct token sequences that are annotated in two or more ways
    - ``conflicting_duplicates``: duplicates with other spans than the first copy
    - ``repaired_tags``: malformed tags that reading had to repair
    - ``repeated_mentions``: mentions whose tokens stand twice or more in their sentence, in exactly
      this spelling; an output format without positions is ambiguous there
    - in corpora with offsets, each of `standoff.CHANGES`: mentions that spans of a sentence could not
      state as annotated
    - in corpora with ``flaws: drop``, ``dropped_flaws``: mentions and lines that contradict themselves
    """
    mentions = _mentions(sentences)
    documents = {sentence.document for sentence in sentences}
    types = Counter(span.type for _, span in mentions)
    lengths = Counter(min(span.end - span.start, 3) for _, span in mentions)
    empty = sum(not sentence.spans for sentence in sentences)
    treated = Counter(reason for sentence in sentences for reason in sentence.treated)
    copies: dict[tuple[str, ...], list[tuple[Span, ...]]] = defaultdict(list)
    for sentence in sentences:
        copies[sentence.tokens].append(sentence.spans)
    return {
        "sentences": len(sentences),
        "documents": None if None in documents else len(documents),
        "tokens": sum(len(sentence.tokens) for sentence in sentences),
        "mentions": len(mentions),
        "types": {kind: types[kind] for kind in dataset.types},
        "empty_sentences": empty,
        "empty_share": _share(empty, len(sentences)),
        "sentence_tokens": _percentiles([len(sentence.tokens) for sentence in sentences]),
        "mention_tokens": {"1": lengths[1], "2": lengths[2], "3+": lengths[3]},
        "duplicates": len(sentences) - len(copies),
        "conflicting_sentences": sum(len(set(spans)) > 1 for spans in copies.values()),
        "conflicting_duplicates": sum(
            other != first for first, *others in copies.values() for other in others
        ),
        "repaired_tags": sum(sentence.repaired for sentence in sentences),
        "repeated_mentions": sum(_occurrences(*mention) > 1 for mention in mentions),
        **({reason: treated[reason] for reason in CHANGES} if any(s.offsets for s in sentences) else {}),
        **({DROPPED: treated[DROPPED]} if dataset.flaws == "drop" else {}),
    }


def _overlap(sentences: Sequence[Sentence], train: Sequence[Sentence]) -> dict[str, Any]:
    """What a split shares with the training data.

    - ``in_train``: sentences whose tokens also stand in train
    - ``unseen_mentions`` and ``unseen_share``: mentions whose surface, in lower case, is no mention
      of any type in train
    - ``unseen_mentions_cased``: the same with case
    """
    texts = {sentence.tokens for sentence in train}
    known = {surface(sentence.tokens, span) for sentence, span in _mentions(train)}
    known_lower = {text.lower() for text in known}
    surfaces = [surface(sentence.tokens, span) for sentence, span in _mentions(sentences)]
    unseen = sum(text.lower() not in known_lower for text in surfaces)
    return {
        "in_train": sum(sentence.tokens in texts for sentence in sentences),
        "unseen_mentions": unseen,
        "unseen_share": _share(unseen, len(surfaces)),
        "unseen_mentions_cased": sum(text not in known for text in surfaces),
    }


def _mentions(sentences: Sequence[Sentence]) -> list[tuple[Sentence, Span]]:
    return [(sentence, span) for sentence in sentences for span in sentence.spans]


def _occurrences(sentence: Sentence, span: Span) -> int:
    """How often a mention's tokens stand in its sentence, itself included, overlaps too."""
    length = span.end - span.start
    wanted = sentence.tokens[span.start : span.end]
    starts = range(len(sentence.tokens) - length + 1)
    return sum(sentence.tokens[start : start + length] == wanted for start in starts)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _percentiles(lengths: Sequence[int]) -> dict[str, int]:
    if not lengths:
        return {"p50": 0, "p95": 0, "max": 0}
    # The inverted distribution function picks a length that occurs instead of interpolating.
    p50, p95 = np.percentile(lengths, [50, 95], method="inverted_cdf")
    return {"p50": int(p50), "p95": int(p95), "max": max(lengths)}


def summary(report: dict[str, Any]) -> pd.DataFrame:
    """An audit as a table: a row for each number, a column for each split, shares in percent."""
    columns = {
        split: pd.Series(dict(_flat(values)), dtype=object) for split, values in report["splits"].items()
    }
    return pd.DataFrame(columns).rename_axis("number of")


def _flat(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        label = key.replace("_", " ")
        if isinstance(value, dict):
            yield from ((f"{label}: {part}", number) for part, number in value.items())
        else:
            yield label, f"{value:.1%}" if isinstance(value, float) else value


def agreement(folders: Iterable[Path]) -> dict[str, Any] | None:
    """Agreement of two annotation passes over a corpus, from the first folder that holds both; None
    where none does.

    Reads ``annotation/first.jsonl`` and ``annotation/second.jsonl``, an object with id and spans a
    line. ``f1`` is the strict micro F1 of one pass against the other, which is the same either way
    and needs no count of true negatives (Hripcsak and Rothschild 2005, doi:10.1197/jamia.M1733).
    Raises `DataError` where a line is malformed or the passes cover different sentences.
    """
    pairs = [
        [folder / "annotation" / f"{which}.jsonl" for which in ("first", "second")] for folder in folders
    ]
    files = next((pair for pair in pairs if all(file.is_file() for file in pair)), None)
    if files is None:
        return None
    first, second = (_read_pass(file) for file in files)
    if first.keys() != second.keys():
        raise DataError(f"{files[0].parent}: the two passes cover different sentences")
    mentions = sum(map(len, (*first.values(), *second.values())))
    return {
        "sentences": len(first),
        "first_mentions": sum(map(len, first.values())),
        "second_mentions": sum(map(len, second.values())),
        "f1": 2 * sum(len(first[each] & second[each]) for each in first) / max(mentions, 1),
        "differing_sentences": sum(first[identity] != second[identity] for identity in first),
    }


def _read_pass(path: Path) -> dict[str, set[Span]]:
    passes: dict[str, set[Span]] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            row = json.loads(line)
            identity, spans = row["id"], {Span(*span) for span in row["spans"]}
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}:{number}: expected an object with id and spans ({error})") from None
        if identity in passes:
            raise DataError(f"{path}:{number}: {identity} stands twice")
        passes[identity] = spans
    return passes
