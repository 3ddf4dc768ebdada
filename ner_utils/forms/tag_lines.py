"""Lines of a word and its tag, as they are asked for and as models write them."""

from __future__ import annotations

import re
from typing import NamedTuple

from ner_utils.forms.base import Extent, Form

_LINES = re.compile(r"[^\n]+")
_TAGGED = re.compile(r"(?P<word>.*):\s*(?:(?P<prefix>[BI])-(?P<name>.+)|O\s*)")
_LIKE_A_TAG = re.compile(r"\S+\s*[:\t]\s*\S+")
_LISTED = re.compile(r"(?:[0-9]+\s?[.):|]|[-*•])\s?(?P<word>.*\S)")
_QUOTED = re.compile(r"""(?P<quote>["'`*]+)(?P<word>.*\S)(?P=quote)""")
_BLANKS = re.compile(r"\s+")
_ENDS = re.compile(r"\A\| ?|[ \t]?[|,;]\Z")
LONGEST = 500  # characters of a line in another notation; longer ones are text


class Line(NamedTuple):
    """A line of an answer: its word and tag, the tag empty where there is none, and where it stands."""

    word: str
    tag: str
    extent: Extent


def _line_of(answer: str, begin: int, end: int) -> Line:
    """A line as it is asked for, or without a tag."""
    found = _TAGGED.fullmatch(answer, begin, end)
    if not found:
        return Line(answer[begin:end].strip(), "", (begin, end))
    tag = f"{found['prefix']}-{found['name'].rstrip().lower()}" if found["prefix"] else "O"
    return Line(found["word"], tag, (begin, end))


def lines(answer: str) -> list[Line]:
    """The lines of an answer, ``token:TAG`` each."""
    return [_line_of(answer, *line.span()) for line in _LINES.finditer(answer)]


def _fullmatch(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """A match of a whole line. The patterns try many ways, so that a line must not be long."""
    return pattern.fullmatch(text) if len(text) <= LONGEST else None


class LooseLines:
    """Reads lines in other notations with the types' words of a form."""

    def __init__(self, form: Form) -> None:
        self.form = form
        words = sorted(form.types.values(), key=len, reverse=True)
        names = "|".join(
            r"[\s_-]+".join(map(re.escape, re.split(r"[\s_-]+", word.strip()))) for word in words
        )
        tag = rf"(?:(?P<prefix>[BIESLU])\s?[-_–—:]\s?)?(?P<name>{names})|"
        tag += r"(?P<before>[BIESLU])[-_–—](?P<other>[^\s:|]+?)|O"
        self.tagged = re.compile(
            rf"(?P<word>.*?\S)\s?(?P<sign>\t|[:：=|/→,;]|[-=]>|\s)\s?[\"'`*(\[<]*(?:{tag})[\"'`*)\]>]*",
            re.IGNORECASE,
        )
        self.cell = re.compile(
            rf"[\s,;]*(?P<cell>[^\s,;]+?[:/|](?:[BIESLU][-_](?:{names})|O))(?:[\s,;]+|\Z)", re.IGNORECASE
        )

    def lines(self, answer: str) -> list[Line]:
        """Beside ``token:TAG``, a tag may stand behind a tab, a space or another sign. Its case, its dash and
        its prefix do not matter; E, S, L and U are prefixes, too. Lines may be numbered, in quotes, rows of a
        table, or all one. Lines before the first and after the last tag state nothing unless they are a word,
        a colon or tab, and a word."""
        lines = [
            self._line(answer, *extent)
            for line in _LINES.finditer(answer)
            for extent in self._cells(answer, *line.span())
        ]
        tagged = [at for at, line in enumerate(lines) if line.tag]
        lines = [
            line
            for at, line in enumerate(lines)
            if tagged and (tagged[0] <= at <= tagged[-1] or _fullmatch(_LIKE_A_TAG, line.word))
        ]
        for pattern in (_LISTED, _QUOTED):
            found = [_fullmatch(pattern, line.word) for line in lines]
            if len(tagged) > 1 and all(one or not line.tag for one, line in zip(found, lines, strict=True)):
                lines = [
                    line._replace(word=one["word"]) if one else line
                    for one, line in zip(found, lines, strict=True)
                ]
        return lines

    def _cells(self, answer: str, begin: int, end: int) -> list[Extent]:
        """A line, or the pieces of one that consists of words with known tags."""
        cells, at = [], begin
        while at < end and (cell := self.cell.match(answer, at, end)):
            cells.append(cell.span("cell"))
            at = cell.end()
        return cells if at == end else [(begin, end)]

    def _line(self, answer: str, begin: int, end: int) -> Line:
        line = _line_of(answer, begin, end)
        text = _ENDS.sub("", _BLANKS.sub(lambda blanks: "\t" if "\t" in blanks[0] else " ", line.word))
        found = None if line.tag else _fullmatch(self.tagged, text)
        if found:
            name, prefix = found["name"] or found["other"], found["prefix"] or found["before"]
            # After a space alone, a type's word without a prefix is a word of the text, and so is a small o.
            if (prefix or found["sign"] != " ") if name else (found["sign"] != " " or text.endswith("O")):
                prefix = "B" if (prefix or "").upper() in ("B", "S", "U") else "I"
                line = Line(found["word"], f"{prefix}-{name}" if name else "O", (begin, end))
        prefix, dash, name = line.tag.partition("-")
        kind = self.form.kind(name) if dash else None
        return line._replace(tag=f"{prefix}-{self.form.types[kind]}") if kind else line
