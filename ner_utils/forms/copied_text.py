"""Answers that repeat the sentence: with mentions in brackets, or a line with its tag for each token."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import spans_from_tags
from ner_utils.forms import tag_lines
from ner_utils.forms.alignment import bare, copies, transfer
from ner_utils.forms.base import DROPPED, Extent, Form, Reading, without_fences, without_thoughts
from ner_utils.forms.grammar import END, START, Edge, Free, Grammar, completion
from ner_utils.forms.tag_lines import Line

LEGIBLE = 0.5  # share of a sentence's letters without which an answer is no copy of it
_FULL_WIDTH = str.maketrans("［］｜", "[]|")
_MARK = re.compile(r"([\\\[\]|])")
_PIECE = re.compile(r"\\(?P<escaped>.)|(?P<mark>[\[\]|])|(?P<plain>[^\\\[\]|]+|\\)", re.DOTALL)
_PLAIN = re.compile(rb"(?:[^\\\[\]|]|\\.)*\\?", re.DOTALL)
_LINE = re.compile(rb"[^\n]*")
_TEXT = re.compile(rb"(?:[^\\\[\]|]|\\[\\\[\]|])+")
_MENTION = re.compile(rb"(?=\s*\S)" + _TEXT.pattern)
_VISIBLE = re.compile(rb"(?=\s*\S).*", re.DOTALL)


class _Mention(NamedTuple):
    """A mention that an answer states: offsets in the copy without its white space, the type's name, and
    where the answer states it."""

    begin: int
    end: int
    name: str
    extent: Extent


class _Copy(NamedTuple):
    """What an answer says: a copy of the sentence without its white space, the mentions in it, the offsets in
    it where a mention is malformed, and whether the answer has the form, whatever the copy."""

    written: str
    mentions: list[_Mention]
    malformed: list[int]
    whole: bool = True

    def part(self, begin: int, end: int) -> _Copy:
        """The same of a part of the copy. Of a mention that reaches beyond it no letter is left."""
        mentions = []
        for each in self.mentions:
            if begin <= each.begin and each.end <= end:
                mentions.append(each._replace(begin=each.begin - begin, end=each.end - begin))
            elif each.begin < end and begin < each.end:
                mentions.append(each._replace(begin=0, end=0))
        malformed = [at - begin for at in self.malformed if begin <= at <= end]
        return _Copy(self.written[begin:end], mentions, malformed, whole=False)


def _last(copy: _Copy, tokens: Sequence[str]) -> _Copy:
    """The part of an answer that is the sentence letter by letter, the last that has mentions; where mentions
    stand outside of all such parts, what is before or behind them."""
    places = copies(copy.written, tokens)
    parts = [copy.part(begin, end) for begin, end in places]
    if stated := [part for part in parts if part.mentions or part.malformed]:
        return stated[-1]
    if not parts or not copy.mentions:
        return parts[-1] if parts else copy
    sides = copy.part(0, places[0][0]), copy.part(places[-1][1], len(copy.written))
    return max(sides, key=lambda side: len(side.mentions))


class CopyForm(Form):
    """An answer that repeats the sentence, wherever that is read."""

    @abstractmethod
    def _parse(self, answer: str) -> _Copy:
        """An answer that has the form."""

    @abstractmethod
    def _parse_loosely(self, answer: str) -> _Copy:
        """An answer in another notation."""

    def read(self, answer: str, tokens: Sequence[str]) -> Reading:
        """See `Form.read`. An answer is read where it copies half of the sentence's letters, or places a
        mention in it. Where it holds the sentence several times, the last copy that has mentions is read."""
        rests = without_thoughts(answer)
        for text in dict.fromkeys((answer, *rests)):  # thoughts may be a part of the sentence
            reading = self._place(self._parse(text), tokens)
            if reading.status == "ok":
                return reading
        return self._place(_last(self._parse_loosely(without_fences(rests[-1])), tokens), tokens)

    def _place(self, copy: _Copy, tokens: Sequence[str]) -> Reading:
        dropped, known, extents = dict.fromkeys(DROPPED, 0), [], []
        for begin, end, name, extent in copy.mentions:
            if kind := self.kind(name):
                known.append((begin, end, kind))
                extents.append(extent)
            else:
                dropped["unknown_type"] += 1
        placed = transfer(copy.written, known, tokens)
        if placed.copied < LEGIBLE and not placed.spans:
            return Reading([], [], "failed", dict.fromkeys(DROPPED, 0))
        dropped |= {"ungrounded": placed.ungrounded, "duplicate": placed.duplicate}
        dropped["malformed"] = len(copy.malformed)
        whole = copy.whole and not copy.malformed and copy.written == bare("".join(tokens))
        origins = [extents[origin] for origin in placed.origins]
        return Reading(placed.spans, origins, "ok" if whole else "recovered", dropped)


class InlineForm(CopyForm):
    """The sentence with ``[surface|name]`` for each mention; ``\\`` stands before a bracket, bar or
    backslash of the sentence."""

    answers = (
        "Answer with the text itself, each entity written as [entity|type].",
        "Reply with the whole text alone, unchanged but for the entities, which become [entity|type].",
        "Write the text once more, word for word, and put each entity and its type into brackets, "
        "[entity|type].",
    )

    def target(self, sentence: Sentence) -> str:
        words = list(map(_marked, sentence.tokens))
        for start, end, kind in sentence.spans:
            words[start] = f"[{words[start]}"
            words[end - 1] += f"|{_marked(self.types[kind])}]"
        return " ".join(words)

    def grammar(self, tokens: Sequence[str] | None) -> Grammar:
        names = list(map(_marked, self.types.values()))
        if tokens is None:
            char = r"([^\\\[\]|]|\\[\\\[\]|])"
            visible = r"([^\\\[\]|\s]|\\[\\\[\]|])"
            text = Free("TEXT", f"/{char}+/", _PLAIN, lambda piece: _completion(piece, _TEXT))
            mention = Free(
                "MENTION", f"/{visible}{char}*/", _PLAIN, lambda piece: _completion(piece, _MENTION)
            )
            after = [Edge("[", "mention"), Edge("", END)]
            return Grammar(
                {
                    START: [Edge(text, "after"), Edge("[", "mention")],
                    "after": after,
                    "mention": [Edge(mention, "kind")],
                    "kind": [Edge(f"|{name}]", "outside") for name in names],
                    "outside": [Edge(text, "after"), *after],
                }
            )
        words = list(map(_marked, tokens))
        outside = [START, *(f"outside{place}" for place in range(1, len(words))), END]
        nodes: dict[str, list[Edge]] = {}
        for place, word in enumerate(words):
            space, inside = " " * bool(place), f"inside{place + 1}"
            nodes[outside[place]] = [Edge(space + word, outside[place + 1]), Edge(f"{space}[{word}", inside)]
            nodes[inside] = [Edge(f"|{name}]", outside[place + 1]) for name in names]
            if place + 1 < len(words):
                nodes[inside].append(Edge(f" {words[place + 1]}", f"inside{place + 2}"))
        return Grammar(nodes, early=outside[1:])

    def _parse(self, answer: str) -> _Copy:
        written, name, begin, end, opened = "", "", -1, -1, 0
        mentions: list[_Mention] = []
        malformed: list[int] = []
        counted = 0  # malformed mentions whose closing bracket is still to come
        for piece in _PIECE.finditer(answer):
            mark, text = piece["mark"], piece["escaped"] or piece["plain"]
            if mark == "[":
                if begin >= 0:
                    malformed.append(begin)
                    counted += 1
                begin, end, name, opened = len(written), -1, "", piece.start()
            elif mark == "|" and begin >= 0 and end < 0:
                end = len(written)
            elif mark == "|" and begin >= 0:
                malformed.append(begin)
                counted += 1
                begin = end = -1
            elif mark == "]" and begin < end:
                mentions.append(_Mention(begin, end, name, (opened, piece.end())))
                begin = end = -1
            elif mark == "]" and begin < 0 and counted:
                counted -= 1
            elif mark == "]":
                malformed.append(len(written))
                begin = end = -1
            elif end >= 0:
                name += text
            else:
                written += bare(text or mark)
        return _Copy(written, mentions, malformed + [begin] * (begin >= 0))

    def _parse_loosely(self, answer: str) -> _Copy:
        answer = answer if "[" in answer else answer.translate(_FULL_WIDTH)
        return self._parse(answer)._replace(whole=False)


class BioForm(CopyForm):
    """A line ``token:TAG`` for each token, tags being O, B-name and I-name (paper B)."""

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

    def _parse(self, answer: str) -> _Copy:
        return _copied(tag_lines.lines(answer))

    def _parse_loosely(self, answer: str) -> _Copy:
        return _copied(tag_lines.LooseLines(self).lines(answer))._replace(whole=False)


def _copied(lines: Sequence[Line]) -> _Copy:
    begins, tagged, written, malformed = [], [], "", []
    for line in lines:
        word = bare(line.word)
        if line.tag and word:
            begins.append(len(written))
            tagged.append(line)
            written += word
        elif line.tag or word:
            malformed.append(len(written))
    ends = [*begins[1:], len(written)]
    mentions = [
        _Mention(begins[start], ends[end - 1], name, (tagged[start].extent[0], tagged[end - 1].extent[1]))
        for start, end, name in spans_from_tags([line.tag for line in tagged])[0]
    ]
    return _Copy(written, mentions, malformed)


def _marked(text: str) -> str:
    return _MARK.sub(r"\\\1", text)


def _one_line(token: str) -> str:
    return " ".join(token.split())


def _completion(piece: bytes, pattern: re.Pattern[bytes]) -> bytes:
    """The fewest bytes that make a piece match; a character that they complete is no white space."""

    def is_whole(text: bytes) -> bool:
        try:
            ends_in_space = text.decode()[-1:].isspace()
        except UnicodeDecodeError:
            return False
        return bool(pattern.fullmatch(text)) and (text == piece or not ends_in_space)

    return completion(piece, is_whole)


def _line(number: int, tag: str) -> Free:
    """A line of any token with this tag."""
    suffix = f":{tag}"
    escaped = re.sub(r"([^\w\s-])", r"\\\1", suffix)

    def rest(piece: bytes) -> bytes:
        word = piece.removesuffix(suffix.encode())
        if word != piece and word.strip():
            return b""
        return _completion(piece, _VISIBLE) + suffix.encode()

    return Free(f"LINE{number}", rf"/[^\n]*[^\n\s][^\n]*{escaped}/", _LINE, rest, 4 + len(suffix.encode()))
