"""The audit of a corpus: numbers that matter for trust in scores on it.

An audit contains no text, so it may be published even if the corpus may not. Mentions are compared in lower
case, because capitals in user-generated text mean little and uncased models ignore them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ner_utils import paths, sealed, stages
from ner_utils.config.dataset import Dataset
from ner_utils.data.corpus import DataError, Sentence, digests
from ner_utils.data.formats.lines import DROPPED, OTHER_LEVEL
from ner_utils.data.formats.offsets.standoff import CHANGES
from ner_utils.data.predictions import parse_predictions
from ner_utils.data.spans import Span, surface, times_in


def audit(name: str, dataset: Dataset, corpus: dict[str, list[Sentence]]) -> dict[str, Any]:
    """Numbers of a corpus, ready for JSON; ``corpus`` maps names of splits to sentences.

    - ``name``: the corpus' id
    - ``splits``: for each split the counts of `_count_split`, and of `_count_overlap` (None in train)
    - ``surfaces``: distinct texts of mentions in all splits, in lower case
    - ``ambiguous_surfaces``: texts among them that are annotated with two or more types
    """
    types: dict[str, set[str]] = defaultdict(set)
    for sentence, span in _mentions([s for sentences in corpus.values() for s in sentences]):
        types[surface(sentence.tokens, span).lower()].add(span.type)
    no_overlap = dict.fromkeys(_count_overlap([], []))
    return {
        "name": name,
        "splits": {
            split: _count_split(sentences, dataset)
            | (no_overlap if split == "train" else _count_overlap(sentences, corpus["train"]))
            for split, sentences in corpus.items()
        },
        "surfaces": len(types),
        "ambiguous_surfaces": sum(len(kinds) > 1 for kinds in types.values()),
    }


def audit_file(study: str, name: str) -> Path:
    """The file of a study's audit of a corpus."""
    return paths.RESULTS / study / name / "audit.json"


def write_audit(study: str, name: str, dataset: Dataset, corpus: dict[str, list[Sentence]]) -> dict[str, Any]:
    """Write a corpus' audit and the agreement of its annotators for a study, with checksums of the corpus'
    files; returns what was written."""
    values = {
        "stages": stages.numbers("data", "audit"),
        "inputs": digests(name, dataset),
        "settings": dataset.identity,
        "audit": audit(name, dataset, corpus),
        "agreement": agreement(paths.data_dirs(name)),
    }
    sealed.write_json(audit_file(study, name), values)
    return values


def load_audit(study: str, name: str) -> dict[str, Any]:
    """Read an audit. Raises `ResultError` if it is missing, was edited, or was made by other rules."""
    numbers, again = stages.numbers("data", "audit"), f"run make study STUDY={study}"
    return sealed.read_made(audit_file(study, name), numbers, again)


def _count_split(sentences: Sequence[Sentence], dataset: Dataset) -> dict[str, Any]:
    """Counts of one split.

    - ``sentences``, ``documents`` (None if a sentence has no document), ``tokens``, ``mentions``, and
      ``types``: mentions by type, zeros included
    - ``empty_sentences`` and ``empty_share``: sentences without a mention
    - ``sentence_tokens``: p50, p95 and max of sentence lengths; percentiles are lengths that occur
    - ``mention_tokens``: mentions of 1, 2, and 3 or more tokens
    - ``duplicates``: sentences with the same tokens as an earlier one
    - ``conflicting_sentences``: distinct sequences of tokens that are annotated in two or more ways
    - ``conflicting_duplicates``: duplicates with other spans than the first copy
    - ``repaired_tags``: ill-formed tags that were repaired
    - ``repeated_mentions``: mentions whose tokens occur again in their sentence; an output form without
      positions is ambiguous there
    - in corpora with offsets, each of `standoff.CHANGES`
    - in corpora with ``flaws: drop``, ``dropped_flaws``: skipped mentions and lines
    - ``other_level_mentions``: those of other levels of annotation, where there are any
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
        "repeated_mentions": sum(times_in(each.tokens, span) > 1 for each, span in mentions),
        **({reason: treated[reason] for reason in CHANGES} if any(s.offsets for s in sentences) else {}),
        **({DROPPED: treated[DROPPED]} if dataset.flaws == "drop" else {}),
        **({OTHER_LEVEL: treated[OTHER_LEVEL]} if treated[OTHER_LEVEL] else {}),
    }


def _count_overlap(sentences: Sequence[Sentence], train: Sequence[Sentence]) -> dict[str, Any]:
    """Counts of what a split shares with train.

    - ``in_train``: sentences whose tokens are also a sentence of train
    - ``unseen_mentions`` and ``unseen_share``: mentions whose text, in lower case, is no mention in train
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


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _percentiles(lengths: Sequence[int]) -> dict[str, int]:
    if not lengths:
        return {"p50": 0, "p95": 0, "max": 0}
    # This method returns a length that occurs; the default would interpolate.
    p50, p95 = np.percentile(lengths, [50, 95], method="inverted_cdf")
    return {"p50": int(p50), "p95": int(p95), "max": max(lengths)}


# In words, the counts that are not clear by their keys.
NAMES = {
    "empty_sentences": "sentences without a mention",
    "empty_share": "share of sentences without a mention",
    "conflicting_sentences": "texts with different annotations",
    "conflicting_duplicates": "copies with another annotation",
    "repeated_mentions": "mentions whose words occur again in their sentence",
    "unseen_mentions": "mentions unseen in train",
    "unseen_share": "share of mentions unseen in train",
    "unseen_mentions_cased": "mentions unseen in train, with capitals",
}


def summary(report: dict[str, Any]) -> pd.DataFrame:
    """An audit as a table with a row for each number and a column for each split; shares are in percent."""
    columns = {
        split: pd.Series(dict(_flat(values)), dtype=object) for split, values in report["splits"].items()
    }
    return pd.DataFrame(columns).rename_axis("number of")


def _flat(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        label = NAMES.get(key, key.replace("_", " "))
        if isinstance(value, dict):
            yield from ((f"{label}: {part}", number) for part, number in value.items())
        else:
            yield label, f"{value:.1%}" if isinstance(value, float) else value


def agreement(folders: Iterable[Path]) -> dict[str, Any] | None:
    """Agreement of two annotations of a corpus, read from the first folder that has both; None if none has.

    Reads ``annotation/first.jsonl`` and ``annotation/second.jsonl``, with an object of id and spans on each
    line. ``f1`` is the strict micro F1 of one annotation against the other; it is symmetric and needs no true
    negatives (Hripcsak and Rothschild 2005, doi:10.1197/jamia.M1733). Raises `ResultError` if a line is
    malformed, and `DataError` if the annotations cover different sentences.
    """
    pairs = [[folder / "annotation" / f"{name}.jsonl" for name in ("first", "second")] for folder in folders]
    files = next((pair for pair in pairs if all(file.is_file() for file in pair)), None)
    if files is None:
        return None
    first, second = (
        {identity: set(row.spans) for identity, row in parse_predictions(file).items()} for file in files
    )
    if first.keys() != second.keys():
        raise DataError(f"{files[0].parent}: the two passes cover different sentences")
    mentions = sum(map(len, (*first.values(), *second.values())))
    return {
        "sentences": len(first),
        "first_mentions": sum(map(len, first.values())),
        "second_mentions": sum(map(len, second.values())),
        "f1": 2 * sum(len(first[identity] & second[identity]) for identity in first) / max(mentions, 1),
        "differing_sentences": sum(first[identity] != second[identity] for identity in first),
    }
