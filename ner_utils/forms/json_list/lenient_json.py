"""Finds JSON in any text, also JSON with the faults that language models make.

Valid JSON is read as the `json` library reads it. For other text, these rules apply:

- A value begins at a bracket or brace followed by a quote, a bracket or a key. Other text is skipped.
- Quotes are double, single, typographic or escaped (JSON inside a string). A quote ends its string only if a
  comma, a colon, a bracket, the end of the line or the end of the text follows: ``'O'Brien',
  "the "Iron" Lady"``. A backslash that escapes nothing is removed.
- Keys and values of objects can lack quotes. In lists, words without quotes are skipped.
- Commas can be missing, doubled, or before a closing bracket. Comments begin with ``//``.
- Python's tuples, ``True``, ``False`` and ``None`` are values.
- A bracket that is not closed ends with the bracket around it. An object ends where another one begins in
  place of a key.
- A value that the end of the text cuts off is marked (`Value.whole`).

The time is linear in the length of the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

DEEPEST = 16  # nested brackets; anything deeper is skipped

_FULL_WIDTH = str.maketrans("［］｛｝（），：", "[]{}(),:")
_CLOSES = {"]": "[", "}": "{", ")": "("}
_SPACE = r"[\s\u00ad\u200b-\u200f\u2060\ufeff]|\\[nrt]"
_BLANK = rf"(?:{_SPACE}|//[^\n]*+)*+"
_QUOTE = r"""["'“”„«‘’‚]|\\["]"""
# What follows a bracket or brace here rarely follows one in prose.
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
    """A value and its place in the text, in characters.

    ``content`` is a string, the (key, value) pairs of a list or object with None for a missing key, or for
    other scalars an integer or None. ``whole`` is False if the text ends inside the value.
    """

    kind: Literal["text", "object", "list", "other"]
    content: str | int | list | None
    begin: int
    end: int
    whole: bool = True

    @property
    def parts(self) -> list[Value]:
        """The values directly inside a list or object."""
        return [part for _, part in self.content]


@dataclass
class _Open:
    """A list or object that is not closed yet. ``key`` has no value yet; after it came a ``colon`` or not."""

    mark: str
    begin: int
    content: list = field(default_factory=list)
    key: Value | None = None
    colon: bool = False

    def add(self, value: Value) -> None:
        if self.mark == "{" and not self.colon and value.kind in ("text", "other"):
            self.key = value
        else:
            self.content.append((self.key if self.colon else None, value))
            if self.colon:
                self.key, self.colon = None, False

    def closed(self, end: int, whole: bool = True) -> Value:
        return Value("object" if self.mark == "{" else "list", self.content, self.begin, end, whole)


def values(text: str, begin: int = 0, end: int | None = None) -> Iterator[Value]:
    """The outermost lists and objects of a text, in order."""
    end, at = len(text) if end is None else end, begin
    hopeless: set[str] = set()
    while start := _BEGIN.search(text, at, end):
        value = value_at(text, start.start(), end, hopeless)
        yield value
        at = value.end


def value_at(text: str, at: int, end: int, hopeless: set[str]) -> Value:
    """The list or object that begins at an offset. ``hopeless`` has the quotes that are known not to be
    closed in the rest of the text, and gets others."""
    opened: list[_Open] = []
    # fresh: the last token was a mark after which a value can begin. ended: it was a closing bracket.
    deeper, fresh, ended = 0, True, False

    def close_inner(at: int, whole: bool = True) -> None:
        value = opened.pop().closed(at, whole)
        opened[-1].add(value)

    while token := _TOKEN.match(text, at, end):
        at, mark = token.end(), (token["mark"] or "").translate(_FULL_WIDTH)
        value = None
        if mark in ("[", "{") or (mark == "(" and fresh):
            if deeper or len(opened) == DEEPEST:
                deeper += 1
            else:
                last = opened[-1] if len(opened) > 1 else None
                if last and mark == last.mark == "{" and last.content and not last.colon:
                    close_inner(token.start())  # a key was due
                opened.append(_Open(mark, token.start("mark")))
        elif mark in _CLOSES:
            if deeper:
                deeper -= 1
            elif any(each.mark == _CLOSES[mark] for each in opened):
                while opened[-1].mark != _CLOSES[mark]:
                    close_inner(at)
                value = opened.pop().closed(at)
        elif mark == "," and not deeper:
            opened[-1].key, opened[-1].colon = None, False
        elif mark == ":" and not deeper:
            opened[-1].colon = opened[-1].key is not None
        elif token["quote"] and ended:
            continue  # a stray quote after a bracket
        elif token["quote"] and (rest := _string(text, at, end, token["quote"], hopeless)):
            at = rest.end()
            value = Value("text", _unescaped(rest[1], token["quote"]), token.start("quote"), at)
        elif token["quote"] in ('"', '\\"', "“", "„", "«"):
            break  # the end of the text cuts off a string; a single quote can be an apostrophe instead
        elif token["word"] and fresh:
            value = _word(token["word"].strip(' "'), token.span("word"), opened[-1].mark)
        fresh, ended = bool(mark) and mark not in _CLOSES, mark in _CLOSES
        if value and not opened:
            return value
        if value and not deeper:
            opened[-1].add(value)
    while len(opened) > 1:
        close_inner(end, whole=False)
    return opened.pop().closed(end, whole=False)


def _string(text: str, at: int, end: int, quote: str, hopeless: set[str]) -> re.Match[str] | None:
    """The rest of a string with its closing quote; None if it is not closed."""
    if _CLOSERS[quote] in hopeless:
        return None
    rest = _REST[quote].match(text, at, end)
    if not rest:
        hopeless.add(_CLOSERS[quote])
    return rest


def _unescaped(raw: str, quote: str) -> str:
    """A string without its escapes; those of a string in escaped quotes are removed twice."""
    for _ in range(len(quote)):
        raw = json.loads(f'"{_ESCAPE.sub(_valid, raw)}"', strict=False)
    return raw


def _valid(escape: re.Match[str]) -> str:
    if escape["byte"]:
        return f"\\u00{escape['byte']}"
    return escape[0] if escape["valid"] else '\\"' * (escape[0] == '"')


def _word(word: str, extent: tuple[int, int], mark: str) -> Value | None:
    """A word without quotes: a scalar, or in an object a key or a string."""
    if scalar := _OTHER.fullmatch(word):
        number = scalar["integer"]
        return Value("other", int(number) if number else None, *extent)
    visible = any(character.isalnum() for character in word)
    return Value("text", word, *extent) if mark == "{" and visible else None
