"""What a generative model is asked, what it should answer, and how its answer is read."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from ner_utils.data import Sentence
from ner_utils.spans import Span, align, surface

Status = Literal["ok", "recovered", "failed"]
DROPPED = ("unknown_type", "malformed", "ungrounded", "duplicate")

_THINK = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
# A "[" of the surrounding prose is rarely followed by an object or by the list's end.
_LIST = re.compile(r"\[(?=\s*[{\]])")
# What stands between the parts of an answer, and an entity of it, as `json.dumps` writes them.
_TEXT, _TYPE, _END = b'{"text": "', b'", "type": "', b'"}'
_STRING = rb'(?:[^"\\]|\\.)*'
_ENTITY = re.compile(re.escape(_TEXT) + _STRING + re.escape(_TYPE) + _STRING + re.escape(_END), re.DOTALL)


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

    def grammar(self, tokens: Sequence[str] | None) -> str:
        """Lark grammar (llguidance's dialect) of valid answers. With a sentence's tokens, every mention
        is a span of them; without, it is any text."""
        names = " | ".join(json.dumps(_escaped(name)) for name in self.types.values())
        if tokens is None:
            mention = r'MENTION: /([^"\\\x00-\x20]|\\["\\\/bfnrt])([^"\\\x00-\x1f]|\\["\\\/bfnrt])*/'
        else:
            parts = [part for token in tokens for part in (" ", _escaped(token))][1:]
            spans = json.dumps({"substring_chunks": parts}, ensure_ascii=False)
            mention = f"MENTION: SPAN & /[^ ]((.|\\n)*[^ ])?/\nSPAN: %regex {spans}"
        text, kind, end = (json.dumps(part.decode()) for part in (_TEXT, _TYPE, _END))
        return (
            'start: "[" (entity (", " entity)*)? "]"\n'
            f"entity: {text} MENTION {kind} type {end}\ntype: {names}\n{mention}\n"
        )

    def closing(self, answer: bytes, tokens: Sequence[str] | None) -> bytes:
        """The shortest text that makes the beginning of a valid answer a whole one, under `grammar`."""
        if answer in (b"", b"[", b"[]"):
            return b"[]"[len(answer) :]
        at = len(b"[")
        while entity := _ENTITY.match(answer, at):
            at = entity.end()
            if answer[at:] in (b"", b"]"):
                return b"]"[len(answer) - at :]
            if answer[at:] == b",":
                answer += b" "
                return b" " + self.closing(answer, tokens)
            at += len(b", ")
        rest = answer[at:]
        if len(rest) < len(_TEXT):
            return _TEXT[len(rest) :] + self.closing(answer[:at] + _TEXT, tokens)
        mention = re.match(_STRING + rb"\\?", rest[len(_TEXT) :], re.DOTALL)[0]
        rest = rest[len(_TEXT) + len(mention) :]
        found = b"" if rest else _rest_of_span(mention, tokens) if tokens else _rest_of_text(mention)
        if len(rest) < len(_TYPE):
            found, rest = found + _TYPE[len(rest) :], _TYPE
        kind = rest[len(_TYPE) :]
        names = [_escaped(name).encode() for name in self.types.values()]
        if kind.endswith(b'"') and kind[:-1] in names:
            return found + b"}]"
        return found + min((n[len(kind) :] for n in names if n.startswith(kind)), key=len) + _END + b"]"

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


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _rest_of_span(mention: bytes, tokens: Sequence[str]) -> bytes:
    """What is missing to the end of a token, where the mention begins like that."""
    words = [_escaped(token).encode() for token in tokens]
    rests = []
    for start in range(len(words)):
        text = b" ".join(words[start:])
        if text.startswith(mention):
            ends = itertools.accumulate(1 + len(word) for word in words[start:])
            end = next(end - 1 for end in ends if end > max(1, len(mention)))
            rests.append(text[len(mention) : end])
    return min(rests, key=len)


def _rest_of_text(mention: bytes) -> bytes:
    """What is missing to a text of whole characters that is not empty."""
    for size in range(4):
        for first in (b"", b"\x80", b"\x90", b"\xa0", b"x", b"\\"):
            rest = (first + b"\x80" * (size - 1))[:size]
            try:
                if json.loads(b'"' + mention + rest + b'"'):
                    return rest
            except ValueError:
                continue
    raise ValueError(f"{mention!r} begins no text")


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
