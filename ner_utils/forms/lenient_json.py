"""JSON as language models write it: one pass over any text, which gives its values and where they stand.

Valid JSON is read as `json` reads it. Beyond that, by these rules:

- A value begins at a bracket or brace that a quote, a bracket or a key follows; other text is skipped.
- Strings stand in double, single or typographic quotes, or in escaped ones (JSON inside a string). A quote
  ends its string only where a comma, colon, bracket, line's end or the text's end follows:
  ``'O'Brien', "the "Iron" Lady"``. A backslash that escapes nothing is dropped.
- Keys may lack quotes, and so may values of objects. In lists, words without quotes are skipped.
- Commas may be missing or doubled, or stand before a closing bracket; comments begin with ``//``.
- Parentheses may enclose a list, and ``True``, ``False`` and ``None`` are values, as Python writes them.
- A bracket that is not closed before its outer one ends with it; an object ends where the next one begins in
  place of a key.
- What the end of the text cuts off is marked so.

The time is linear in the text: nothing is read twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

DEEPEST = 16  # brackets inside brackets; what is deeper states nothing that an answer may hold

_FULL_WIDTH = str.maketrans("［］｛｝（），：", "[]{}(),:")
_CLOSES = {"]": "[", "}": "{", ")": "("}
_SPACE = r"[\s\u00ad\u200b-\u200f\u2060\ufeff]|\\[nrt]"
_BLANK = rf"(?:{_SPACE}|//[^\n]*+)*+"
_QUOTE = r"""["'“”„«‘’‚]|\\["]"""
# Brackets of prose are rarely followed by these.
_BEGIN = re.compile(
    rf"""[\[［](?=(?:{_SPACE})*+(?:[\[\](［］{{｛]|{_QUOTE}))"""
    rf"""|[{{｛](?=(?:{_SPACE})*+(?:[{{\[｛［]|{_QUOTE}|\w++\s*+[:：]))"""
)
_TOKEN = re.compile(
    rf"""{_BLANK}(?:(?P<mark>[\[\]{{}}(),:［］｛｝（），：])|(?P<quote>{_QUOTE})|(?P<word>[^\[\]{{}}(),:\n［］｛｝（），：]++))"""
)
_AFTER = r"(?=\s*+(?:[,:\]})，：］｝]|//|\Z)|[ \t]*+\n)"
_CLOSERS = (
    {'"': '"', "'": "'", '\\"': r'\\"'} | dict.fromkeys("“”„«", '["“”»]') | dict.fromkeys("‘’‚", "['‘’]")
)
_REST = {
    quote: re.compile(rf"((?:\\.|[^\\])*?)(?:{close}){_AFTER}", re.DOTALL)
    for quote, close in _CLOSERS.items()
}
_ESCAPE = re.compile(r'\\(?P<valid>["\\/bfnrt]|u[0-9a-fA-F]{4})|\\x(?P<byte>[0-9a-fA-F]{2})|[\\"]')
_OTHER = re.compile(
    r"(?P<integer>-?[0-9]{1,9})|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|-?Infinity|NaN|[Tt]rue|[Ff]alse|null|None"
)


class Value(NamedTuple):
    """A value and where it stands, in characters. ``content``: a text's string; an object's pairs of keys
    and values, the key None where there is none; a list's values; of other scalars an integer or None.
    ``whole`` is False where the text ends inside the value."""

    kind: Literal["text", "object", "list", "other"]
    content: str | int | list | None
    begin: int
    end: int
    whole: bool = True


@dataclass
class _Open:
    """A bracket that is not closed yet."""

    mark: str
    begin: int
    content: list = field(default_factory=list)
    key: Value | None = None
    colon: bool = False

    def add(self, value: Value) -> None:
        if self.mark != "{":
            self.content.append(value)
        elif self.colon:
            self.content.append((self.key, value))
            self.key, self.colon = None, False
        elif value.kind in ("text", "other"):
            self.key = value
        else:
            self.content.append((None, value))

    def wants_key(self) -> bool:
        """Whether this is an object of some pairs that goes on with a key."""
        return self.mark == "{" and bool(self.content) and not self.colon

    def closed(self, end: int, whole: bool = True) -> Value:
        return Value("object" if self.mark == "{" else "list", self.content, self.begin, end, whole)


def values(text: str, begin: int = 0, end: int | None = None, anywhere: bool = False) -> Iterator[Value]:
    """The lists and objects of a text that are not part of others, in order. ``anywhere`` takes every
    bracket for the beginning of one."""
    end, at = len(text) if end is None else end, begin
    starts = re.compile(r"[\[{]") if anywhere else _BEGIN
    hopeless: set[str] = set()  # quotes that nothing closes any more
    while start := starts.search(text, at, end):
        at = yield from _value(text, start.start(), end, hopeless)


def _value(text: str, at: int, end: int, hopeless: set[str]) -> Iterator[Value]:
    """The list or object that begins there; returns where it ends."""
    opened: list[_Open] = []
    # fresh: a value may begin, for the last token was a bracket, comma or colon; ended: a bracket ended one.
    deeper, fresh, ended = 0, True, False
    while token := _TOKEN.match(text, at, end):
        at, mark = token.end(), (token["mark"] or "").translate(_FULL_WIDTH)
        value = None
        if mark in ("[", "{") or (mark == "(" and fresh):
            if deeper or len(opened) == DEEPEST:
                deeper += 1
            else:
                if mark == "{" and len(opened) > 1 and opened[-1].wants_key():
                    opened[-2].add(opened.pop().closed(token.start()))
                opened.append(_Open(mark, token.start("mark")))
        elif mark in _CLOSES:
            if deeper:
                deeper -= 1
            elif any(each.mark == _CLOSES[mark] for each in opened):
                while value is None:
                    last = opened.pop()
                    closed = last.closed(at)
                    if last.mark == _CLOSES[mark]:
                        value = closed
                    else:
                        opened[-1].add(closed)
        elif mark == "," and opened and not deeper:
            opened[-1].key, opened[-1].colon = None, False
        elif mark == ":" and opened and not deeper:
            opened[-1].colon = opened[-1].key is not None
        elif token["quote"] and ended:
            continue  # a stray quote behind a bracket
        elif token["quote"] and (rest := _string(text, at, end, token["quote"], hopeless)):
            at = rest.end()
            value = Value("text", _unescaped(rest[1], token["quote"]), token.start("quote"), at)
        elif token["quote"] in ('"', '\\"', "“", "„", "«"):
            break  # a string that the end of the text cuts off; an apostrophe may be a part of a word
        elif token["word"] and fresh:
            value = _word(token["word"].strip(' "'), token.span("word"), opened[-1].mark)
        fresh, ended = bool(mark) and mark not in _CLOSES, mark in _CLOSES
        if value and not deeper:
            if not opened:
                yield value
                return value.end
            opened[-1].add(value)
    while opened:
        value = opened.pop().closed(end, whole=False)
        if opened:
            opened[-1].add(value)
    yield value
    return end


def _string(text: str, at: int, end: int, quote: str, hopeless: set[str]) -> re.Match[str] | None:
    """The rest of a string and its closing quote."""
    if _CLOSERS[quote] in hopeless:
        return None
    rest = _REST[quote].match(text, at, end)
    if not rest:
        hopeless.add(_CLOSERS[quote])
    return rest


def _unescaped(raw: str, quote: str) -> str:
    """A string's text; of one with escaped quotes, which is a part of a string, escapes are undone twice."""
    for _ in range(len(quote)):
        raw = json.loads(f'"{_ESCAPE.sub(_valid, raw)}"', strict=False)
    return raw


def _valid(escape: re.Match[str]) -> str:
    if escape["byte"]:
        return f"\\u00{escape['byte']}"
    return escape[0] if escape["valid"] else '\\"' * (escape[0] == '"')


def _word(word: str, extent: tuple[int, int], mark: str) -> Value | None:
    """Text without quotes: a scalar, or in an object a key or a text."""
    if scalar := _OTHER.fullmatch(word):
        number = scalar["integer"]
        return Value("other", int(number) if number else None, *extent)
    visible = any(character.isalnum() for character in word)
    return Value("text", word, *extent) if mark == "{" and visible else None
