"""Answers that are a JSON list of entities, with or without the number of the occurrence."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span, surface
from ner_utils.forms.alignment import align, occurrences, repeated
from ner_utils.forms.base import DROPPED, Form, Reading
from ner_utils.forms.grammar import END, START, Edge, Free, Grammar, completion
from ner_utils.forms.json_list.stated_entities import find_items

_STRING = re.compile(rb'(?:[^"\\]|\\.)*\\?', re.DOTALL)
LONGEST_REPEATED = 12  # tokens of a repeated text whose later occurrences the grammar allows


class JsonForm(Form):
    """A JSON list of ``{"text": ..., "type": ...}`` in order of appearance (paper A). If a text is repeated,
    each item is its next occurrence."""

    answers = (
        'Answer with a JSON list of {"text": ..., "type": ...} in order of appearance, '
        "or [] if there are none.",
        'Reply with a JSON list alone, one {"text": ..., "type": ...} an entity, first to last; '
        "reply [] where nothing is mentioned.",
        'Write them as one JSON array of objects {"text": ..., "type": ...} in the order of the text, '
        "an empty array [] if the text has none.",
    )

    def target(self, sentence: Sentence) -> str:
        return json.dumps([self._item(sentence.tokens, span) for span in sentence.spans], ensure_ascii=False)

    def _item(self, tokens: Sequence[str], span: Span) -> dict[str, Any]:
        return {"text": surface(tokens, span), "type": self.types[span.type]}

    def schema(self) -> dict[str, Any]:
        """The JSON schema of an answer, for servers: they take objects alone, so the list is ``entities``."""
        return _object({"entities": {"type": "array", "items": _object(self._properties())}})

    def _properties(self) -> dict[str, Any]:
        """The JSON schemas of an entity's values."""
        return {"text": {"type": "string"}, "type": {"type": "string", "enum": list(self.types.values())}}

    def grammar(self, tokens: Sequence[str] | None) -> Grammar:
        return Grammar(
            {
                START: [Edge("[]", END), Edge('[{"text": "', "text")],
                **self._entity(tokens),
                "more": [Edge("]", END), Edge(', {"text": "', "text")],
            }
        )

    def _entity(self, tokens: Sequence[str] | None) -> dict[str, list[Edge]]:
        """The grammar of an entity, from its text to the node ``more``."""
        kinds = [Edge(f'", "type": "{_escaped(name)}"}}', "more") for name in self.types.values()]
        return {"text": [Edge(_mention(tokens), "kind")], "kind": kinds}

    def read(self, answer: str, tokens: Sequence[str]) -> Reading:
        items, status = find_items(answer, self.type_of)
        mentions, extents, dropped = [], [], dict.fromkeys(DROPPED, 0)
        for item in items:
            occurrence = self._occurrence(item.fields)
            if not item.is_entity or occurrence == 0:
                dropped["malformed"] += 1
            elif kind := self.type_of(item.fields["type"]):
                mentions.append((item.fields["text"], kind, occurrence))
                extents.append(item.extent)
            else:
                dropped["unknown_type"] += 1
        placed = align(mentions, tokens)
        dropped["ungrounded"], dropped["duplicate"] = placed.ungrounded, placed.duplicate
        return Reading(placed.spans, [extents[origin] for origin in placed.origins], status, dropped)

    def _occurrence(self, fields: dict[str, Any]) -> int | None:
        """Which occurrence of its text an item states: None for the next one, 0 if it is malformed."""
        return None


class JsonOccurrenceForm(JsonForm):
    """The same with ``"occurrence": n``: the n-th occurrence of the text in the sentence, from 1, so that
    the place of repeated texts is known (arXiv 2601.17898 compares such forms)."""

    answers = (
        'Answer with a JSON list of {"text": ..., "type": ..., "occurrence": ...} in order of appearance, '
        "or [] if there are none; occurrence counts from 1 where the same text stands several times.",
        'Reply with a JSON list alone, one {"text": ..., "type": ..., "occurrence": ...} an entity, first to '
        "last, with 1 for the first place where its text stands, 2 for the second; reply [] where nothing is "
        "mentioned.",
        'Write them as one JSON array of objects {"text": ..., "type": ..., "occurrence": ...} in the order '
        "of the text, the occurrence being 1 unless the text stood there before; an empty array [] if the "
        "text has none.",
    )

    def _item(self, tokens: Sequence[str], span: Span) -> dict[str, Any]:
        places = occurrences(surface(tokens, span), tokens)
        number = 1 + places.index((span.start, span.end))
        return super()._item(tokens, span) | {"occurrence": number}

    def _properties(self) -> dict[str, Any]:
        return super()._properties() | {"occurrence": {"type": "integer"}}

    def _entity(self, tokens: Sequence[str] | None) -> dict[str, list[Edge]]:
        if tokens is None:
            digits = re.compile(rb"[0-9]*")
            number = Free("NUMBER", "/[1-9][0-9]?/", digits, lambda piece: b"" if piece else b"1")
            return self._counted("", [Edge(number, "close")]) | {"text": [Edge(_mention(None), "kind")]}
        nodes = {"text": [Edge(_mention(tokens), "kind1")], **self._counted("1", [Edge("1", "close")])}
        for text, times in repeated(tokens, LONGEST_REPEATED):
            # A repeated text is also a span; its number decides between the two paths.
            nodes["text"].append(Edge(_escaped(text), f"kind{times}"))
            numbers = [Edge(str(number), "close") for number in range(1, times + 1)]
            nodes |= self._counted(str(times), numbers)
        return nodes

    def _counted(self, label: str, numbers: list[Edge]) -> dict[str, list[Edge]]:
        names = [_escaped(name) for name in self.types.values()]
        kinds = [Edge(f'", "type": "{name}", "occurrence": ', f"number{label}") for name in names]
        return {f"kind{label}": kinds, f"number{label}": numbers, "close": [Edge("}", "more")]}

    def _occurrence(self, fields: dict[str, Any]) -> int | None:
        number = fields.get("occurrence")
        return max(0, number) if type(number) is int else 0


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object that has these keys and no others."""
    keys = {"required": list(properties), "additionalProperties": False}
    return {"type": "object", "properties": properties, **keys}


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _mention(tokens: Sequence[str] | None) -> Free:
    """The text of a mention inside quotes: any text, or a span of tokens."""
    if tokens is None:
        text = r'/([^"\\\x00-\x20]|\\["\\\/bfnrt])([^"\\\x00-\x1f]|\\["\\\/bfnrt])*/'
        return Free("MENTION", text, _STRING, lambda piece: completion(piece, _is_mention))
    words = [_escaped(token) for token in tokens]
    chunks = json.dumps({"substring_chunks": list(_between(words))}, ensure_ascii=False)
    text = f"SPAN & /[^ ]((.|\\n)*[^ ])?/\nSPAN: %regex {chunks}"
    longest = 1 + max(len(word.encode()) for word in words)
    return Free("MENTION", text, _STRING, lambda piece: _rest_of_span(piece, words), longest)


def _between(words: Sequence[str]) -> Iterator[str]:
    yield words[0]
    for word in words[1:]:
        yield from (" ", word)


def _rest_of_span(piece: bytes, words: Sequence[str]) -> bytes | None:
    """The shortest end of a mention that begins with this piece; None if none does."""
    rests = []
    for start in range(len(words)):
        text = " ".join(words[start:]).encode()
        if text.startswith(piece):
            ends = itertools.accumulate(1 + len(word.encode()) for word in words[start:])
            end = next(end - 1 for end in ends if end > max(1, len(piece)))
            rests.append(text[len(piece) : end])
    return min(rests, key=len, default=None)


def _is_mention(piece: bytes) -> bool:
    """Whether the inside of a JSON string is valid and not blank."""
    try:
        return bool(json.loads(b'"' + piece + b'"').strip())
    except ValueError:
        return False
