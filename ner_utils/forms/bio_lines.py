"""Answers with a line for each token: the token and its tag."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import spans_from_tags
from ner_utils.forms.alignment import bare
from ner_utils.forms.base import Extent, Form
from ner_utils.forms.copied_sentence import CopiedMention, Copy, CopyForm, completion_matching
from ner_utils.forms.grammar import END, START, Edge, Free, Grammar

_LINE = re.compile(r"[^\n]+")
_TAGGED = re.compile(r"(?P<word>.*):\s*(?:(?P<prefix>[BI])-(?P<name>.+)|O\s*)")
_LIKE_A_TAG = re.compile(r"\S+\s*[:\t]\s*\S+")
_LISTED = re.compile(r"(?:[0-9]+\s?[.):|]|[-*•])\s?(?P<word>.*\S)")
_QUOTED = re.compile(r"""(?P<quote>["'`*]+)(?P<word>.*\S)(?P=quote)""")
_BLANKS = re.compile(r"\s+")
_ENDS = re.compile(r"\A\| ?|[ \t]?[|,;]\Z")
LONGEST = 500  # characters of a line in another notation
_ANY_LINE = re.compile(rb"[^\n]*")
_VISIBLE = re.compile(rb"(?=\s*\S).*", re.DOTALL)


class BioForm(CopyForm):
    """A line ``token:TAG`` for each token; tags are O, B-type and I-type (paper B)."""

    answers = (
        "Answer with one line a token, token:TAG, where TAG is O outside of entities, B-type on the first "
        "token of an entity and I-type on its others.",
        "Reply with a line for each token of the text and nothing else, written token:TAG; TAG is B-type "
        "where an entity begins, I-type where it goes on, O anywhere else.",
        "Write every token on a line of its own, a colon and its tag: B-type opens an entity, I-type "
        "continues it, O belongs to none.",
    )

    def target(self, sentence: Sentence) -> str:
        pairs = zip(sentence.tokens, sentence.ner_tags, strict=True)
        return "\n".join(f"{_one_line(token)}:{self._named(tag)}" for token, tag in pairs)

    def _named(self, tag: str) -> str:
        prefix, dash, kind = tag.partition("-")
        return f"{prefix}-{self.types[kind]}" if dash else tag

    def grammar(self, tokens: Sequence[str] | None) -> Grammar:
        names = list(enumerate(self.types.values()))
        if tokens is None:
            tags = ["O", *(f"{prefix}-{name}" for _, name in names for prefix in "BI")]
            lines = {tag: _line(number, tag) for number, tag in enumerate(tags)}
            begin = [Edge(lines["O"], "after")] + [Edge(lines[f"B-{n}"], f"after{k}") for k, n in names]
            nodes = {START: begin, "after": [Edge("", END), Edge("\n", START)]}
            for k, name in names:
                nodes[f"after{k}"] = [Edge("", END), Edge("\n", f"inside{k}")]
                nodes[f"inside{k}"] = [Edge("", START), Edge(lines[f"I-{name}"], f"after{k}")]
            return Grammar(nodes)
        places = [START, *(f"place{place}" for place in range(1, len(tokens))), END]
        nodes: dict[str, list[Edge]] = {}
        for place, token in enumerate(tokens):
            word, follows = "\n" * bool(place) + _one_line(token), places[place + 1]
            nodes[places[place]] = [Edge(f"{word}:O", follows)]
            for k, name in names:
                nodes[places[place]].append(Edge(f"{word}:B-{name}", f"inside{place + 1}_{k}"))
                inside = nodes.setdefault(f"inside{place + 1}_{k}", [Edge("", follows)])
                if place + 1 < len(tokens):
                    word_after = f"\n{_one_line(tokens[place + 1])}"
                    inside.append(Edge(f"{word_after}:I-{name}", f"inside{place + 2}_{k}"))
        return Grammar(nodes, early=places[1:])

    def _parse(self, answer: str) -> Copy:
        return _copy_of([_parse_line(answer, *line.span()) for line in _LINE.finditer(answer)])

    def _parse_loosely(self, answer: str) -> Copy:
        return _copy_of(_OtherNotations(self).lines(answer))._replace(has_form=False)


def _one_line(token: str) -> str:
    return " ".join(token.split())


def _line(number: int, tag: str) -> Free:
    """A line of any token with this tag."""
    suffix = f":{tag}"
    escaped = re.sub(r"([^\w\s-])", r"\\\1", suffix)

    def rest(piece: bytes) -> bytes:
        word = piece.removesuffix(suffix.encode())
        if word != piece and word.strip():
            return b""
        return completion_matching(piece, _VISIBLE) + suffix.encode()

    return Free(
        f"LINE{number}", rf"/[^\n]*[^\n\s][^\n]*{escaped}/", _ANY_LINE, rest, 4 + len(suffix.encode())
    )


# ----------------------------------------------------------------------------- reading
class _Line(NamedTuple):
    """A line of an answer: its token, its tag (empty if it has none), and its place in the answer."""

    word: str
    tag: str
    extent: Extent


def _parse_line(answer: str, begin: int, end: int) -> _Line:
    """A line that has the form, or one without a tag."""
    match = _TAGGED.fullmatch(answer, begin, end)
    if not match:
        return _Line(answer[begin:end].strip(), "", (begin, end))
    tag = f"{match['prefix']}-{match['name'].rstrip().lower()}" if match["prefix"] else "O"
    return _Line(match["word"], tag, (begin, end))


def _copy_of(lines: Sequence[_Line]) -> Copy:
    begins, tagged, text, malformed = [], [], "", []
    for line in lines:
        word = bare(line.word)
        if line.tag and word:
            begins.append(len(text))
            tagged.append(line)
            text += word
        elif line.tag or word:
            malformed.append(len(text))
    ends = [*begins[1:], len(text)]
    mentions = [
        CopiedMention(
            begins[start], ends[end - 1], name, (tagged[start].extent[0], tagged[end - 1].extent[1])
        )
        for start, end, name in spans_from_tags([line.tag for line in tagged])[0]
    ]
    return Copy(text, mentions, malformed)


def _fullmatch(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """A match of a whole line. Long lines match nothing, because the patterns backtrack."""
    return pattern.fullmatch(text) if len(text) <= LONGEST else None


class _OtherNotations:
    """Parses lines in other notations than ``token:TAG``.

    A tag can stand after a tab, a space or another sign, in any case, with any dash, with the prefixes of
    other schemes, or without a prefix. Lines can be numbered, quoted, rows of a table, or all on one line.
    """

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

    def lines(self, answer: str) -> list[_Line]:
        """Lines from the first to the last one with a tag; of the others, those that look like a token with
        an unknown tag."""
        lines = [
            self._line(answer, *extent)
            for line in _LINE.finditer(answer)
            for extent in self._cells(answer, *line.span())
        ]
        tagged = [at for at, line in enumerate(lines) if line.tag]
        lines = [
            line
            for at, line in enumerate(lines)
            if tagged and (tagged[0] <= at <= tagged[-1] or _fullmatch(_LIKE_A_TAG, line.word))
        ]
        for pattern in (_LISTED, _QUOTED):  # numbers or quotes are removed if all tagged lines have them
            matches = [_fullmatch(pattern, line.word) for line in lines]
            pairs = list(zip(matches, lines, strict=True))
            if len(tagged) > 1 and all(match or not line.tag for match, line in pairs):
                lines = [line._replace(word=match["word"]) if match else line for match, line in pairs]
        return lines

    def _cells(self, answer: str, begin: int, end: int) -> list[Extent]:
        """The tokens of a line on which each token has a known tag; else the whole line."""
        cells, at = [], begin
        while at < end and (cell := self.cell.match(answer, at, end)):
            cells.append(cell.span("cell"))
            at = cell.end()
        return cells if at == end else [(begin, end)]

    def _line(self, answer: str, begin: int, end: int) -> _Line:
        line = _parse_line(answer, begin, end)
        text = _ENDS.sub("", _BLANKS.sub(lambda blanks: "\t" if "\t" in blanks[0] else " ", line.word))
        match = None if line.tag else _fullmatch(self.tagged, text)
        if match:
            name, prefix = match["name"] or match["other"], match["prefix"] or match["before"]
            # After a space, a type's name without a prefix is text, and so is a lower-case o.
            if (prefix or match["sign"] != " ") if name else (match["sign"] != " " or text.endswith("O")):
                prefix = "B" if (prefix or "").upper() in ("B", "S", "U") else "I"
                line = _Line(match["word"], f"{prefix}-{name}" if name else "O", (begin, end))
        prefix, dash, name = line.tag.partition("-")
        kind = self.form.type_of(name) if dash else None
        return line._replace(tag=f"{prefix}-{self.form.types[kind]}") if kind else line
