"""What a generative model is asked, what it should answer, and how its answer is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from ner_utils.data import Sentence
from ner_utils.spans import Span, align, surface

Status = Literal["ok", "recovered", "failed"]
DROPPED = ("unknown_type", "malformed", "ungrounded", "duplicate")

_THINK = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
# A "[" of the surrounding prose is rarely followed by an object or by the list's end.
_LIST = re.compile(r"\[(?=\s*[{\]])")


class Reading(NamedTuple):
    """An answer, read: spans, how the text had to be treated, and what was dropped and why."""

    spans: list[Span]
    status: Status
    dropped: dict[str, int]


class JsonFormat:
    """The answer is a JSON list of ``{"text": surface, "type": name}``, in order of appearance.

    ``types`` maps a corpus' types to the words used for them in instruction and answer.
    """

    def __init__(self, types: Mapping[str, str]) -> None:
        self.types = dict(types)
        self._type_of = {name.lower(): kind for kind, name in self.types.items()}

    @property
    def instruction(self) -> str:
        """The part of the prompt that all sentences share."""
        return (
            f"Find the named entities of these types: {', '.join(self.types.values())}. "
            'Answer with a JSON list of {"text": ..., "type": ...} in order of appearance, '
            "or [] if there are none."
        )

    def target(self, sentence: Sentence) -> str:
        """The answer that training asks for."""
        return json.dumps(
            [
                {"text": surface(sentence.tokens, span), "type": self.types[span.type]}
                for span in sentence.spans
            ],
            ensure_ascii=False,
        )

    def read(self, answer: str, tokens: tuple[str, ...]) -> Reading:
        """Parse an answer and place its mentions in the sentence.

        ``ok``: the whole answer is a JSON list. ``recovered``: a list was found inside other text
        (code fence, prose, think block), or whole objects of a list that was cut off. ``failed``:
        neither. Whatever an answer holds beyond placeable mentions of known types is counted.
        """
        items, status = _find_list(answer)
        mentions, dropped = [], dict.fromkeys(DROPPED, 0)
        for item in items:
            text, name = (item.get("text"), item.get("type")) if isinstance(item, dict) else (None, None)
            if not isinstance(text, str) or not isinstance(name, str) or not text.strip():
                dropped["malformed"] += 1
            elif name.strip().lower() not in self._type_of:
                dropped["unknown_type"] += 1
            else:
                mentions.append((text, self._type_of[name.strip().lower()]))
        placed = align(mentions, tokens)
        dropped["ungrounded"], dropped["duplicate"] = placed.ungrounded, placed.duplicate
        return Reading(placed.spans, status, dropped)


FORMATS = {"json": JsonFormat}


def _find_list(answer: str) -> tuple[list, Status]:
    whole = answer.strip()
    value, end = _decode(whole, 0)
    if isinstance(value, list) and end == len(whole):
        return value, "ok"
    text = _THINK.sub("", answer)
    found = _LIST.search(text)
    if not found:
        return [], "failed"
    value, _ = _decode(text, found.start())
    if isinstance(value, list):
        return value, "recovered"
    objects, at = [], text.find("{", found.start())
    while at >= 0:
        value, end = _decode(text, at)
        objects += [value] if isinstance(value, dict) else []
        at = text.find("{", end)
    return objects, "recovered" if objects else "failed"


def _decode(text: str, begin: int):
    """The JSON value that begins there and where it ends; None and the next place if there is none."""
    try:
        return json.JSONDecoder().raw_decode(text, begin)
    except (ValueError, RecursionError):  # not JSON, a number too long for Python, too deep
        return None, begin + 1
