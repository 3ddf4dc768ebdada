"""What does the front end (explorer.js) get to show?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ner_utils import messages
from ner_utils.config.run import Run
from ner_utils.explorer.mentions import StudyMentions, check
from ner_utils.rendering.colours import type_colours
from ner_utils.scoring import resampling

# Words and letters for the kinds of `error_types.KINDS`, and for a span that neither gold nor the system has.
OUTCOMES = {
    "correct": "right",
    "type": "wrong type",
    "boundary": "wrong boundaries",
    "both": "wrong type and boundaries",
    "place": "right words, wrong place",
    "missed": "missed",
    "spurious": "not in gold",
    "": "rightly nothing",
}
LETTERS = dict(zip(OUTCOMES, "ctbxpms.", strict=True))


def view_of(seen: StudyMentions, text: bool = True) -> dict[str, Any]:
    """All that the front end shows, as JSON holds it: systems, sentences, and mentions in columns.

    Characters that act are written as code points. Without ``text``, tokens and raw answers are left out, and
    words of mentions, so that nothing of the corpus but ids, numbers of tokens and spans is in it.
    """
    dataset = next(iter(seen.runs.values())).dataset
    kinds, rows = list(dataset.types), seen.mentions
    documents = list(dict.fromkeys(each.document for each in seen.gold if each.document is not None))
    places = {name: place for place, name in enumerate(documents)}
    groups = np.unique(resampling.groups(seen.gold), return_inverse=True)[1]
    return {
        "corpus": dataset.label,
        "types": [{"id": kind, "name": dataset.types[kind]} for kind in kinds],
        "colours": type_colours(dataset),
        "outcomes": {LETTERS[kind]: words for kind, words in OUTCOMES.items()},
        "systems": [_system(seen, name, run, text) for name, run in seen.runs.items()],
        "documents": list(map(messages.visible, documents)),
        "sentences": {
            "id": [messages.visible(each.id, keep="") for each in seen.gold],
            "document": [places.get(each.document, -1) for each in seen.gold],
            "group": groups.tolist(),
            "length": [len(each.tokens) for each in seen.gold],
            "tokens": [[messages.visible(t, keep="") for t in each.tokens] for each in seen.gold]
            if text
            else None,
        },
        "mentions": {name: rows[name].astype(int).tolist() for name in _NUMBERS}
        | {"type": [kinds.index(kind) for kind in rows["type"]]},
    }


_NUMBERS = ("sentence", "start", "end", "gold", "seen", "ambiguous", "repeated")


def _system(seen: StudyMentions, name: str, run: Run, text: bool) -> dict[str, Any]:
    percent = 100 * seen.mentions[f"{name} confidence"]
    answers = _answers(run, [each.id for each in seen.gold]) if text and run.writes else None
    return {
        "id": name,
        "label": run.label,
        "seed": run.seed,
        "outcome": "".join(map(LETTERS.__getitem__, seen.mentions[name])),
        # In percent; null where the system gives none, -1 for a span that it does not predict.
        "confidence": None if percent.isna().all() else percent.fillna(-1).round().astype(int).tolist(),
        "answers": answers,
    }


def _answers(run: Run, ids: Sequence[str]) -> list[str] | None:
    """The raw answers of a run, if they are on this machine: results do not hold them."""
    path = run.scratch / "answers.jsonl"
    if not path.is_file():
        return None
    answers = {row["id"]: row["answer"] for row in map(json.loads, path.open(encoding="utf-8"))}
    return [messages.visible(answers.get(name, "")) for name in ids]


def filters(seen: StudyMentions, wanted: dict[str, Any]) -> dict[str, Any]:
    """A choice for the front end, in its codes: values of facets, or lists of them, and a text or document to
    search for. Raises `ConfigError` for an unknown facet or value."""
    known = facets(seen) | {name: [wanted.get(name)] for name in ("text", "document")}
    chosen = {name: value if isinstance(value, list) else [value] for name, value in wanted.items()}
    for name, values in chosen.items():
        check("explore", name, known)
        for value in values:
            check(f"explore: {name}", value, known[name])
        codes = LETTERS if name in ("a", "b") else {False: 0, True: 1}
        chosen[name] = [codes.get(value, value) for value in values]
    return chosen


def facets(seen: StudyMentions) -> dict[str, list[Any]]:
    """The values of the front end's facets; those of confidences (percent) and words (tokens of the sentence)
    are the lowest numbers of ranges."""
    known = {"type": list(next(iter(seen.runs.values())).dataset.types), "length": [1, 2, 3]}
    known |= dict.fromkeys(("seen", "ambiguous", "repeated"), [False, True])
    for side, name in zip("ab", seen.runs, strict=False):
        known[side] = list(OUTCOMES)
        if seen.mentions[f"{name} confidence"].notna().any():
            known[f"{side}_confidence"] = [-1, 0, 50, 80, 95]
    return known | {"words": [1, 11, 21, 31]}
