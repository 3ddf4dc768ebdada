"""Answers that repeat the sentence with its mentions in brackets."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ner_utils.data.sentence import Sentence
from ner_utils.forms.alignment import bare
from ner_utils.forms.copied_sentence import CopiedMention, Copy, CopyForm, completion_matching
from ner_utils.forms.grammar import END, START, Edge, Free, Grammar

_FULL_WIDTH = str.maketrans("［］｜", "[]|")
_MARK = re.compile(r"([\\\[\]|])")
_PIECE = re.compile(r"\\(?P<escaped>.)|(?P<mark>[\[\]|])|(?P<plain>[^\\\[\]|]+|\\)", re.DOTALL)
_PLAIN = re.compile(rb"(?:[^\\\[\]|]|\\.)*\\?", re.DOTALL)
_TEXT = re.compile(rb"(?:[^\\\[\]|]|\\[\\\[\]|])+")
_MENTION = re.compile(rb"(?=\s*\S)" + _TEXT.pattern)


class InlineForm(CopyForm):
    """The sentence with ``[text|type]`` for each mention; a bracket, bar or backslash of the sentence is
    escaped with a backslash."""

    answers = (
        "Answer with the text itself, each entity written as [entity|type].",
        "Reply with the whole text alone, unchanged but for the entities, which become [entity|type].",
        "Write the text once more, word for word, and put each entity and its type into brackets, "
        "[entity|type].",
    )

    def target(self, sentence: Sentence) -> str:
        words = list(map(_escaped, sentence.tokens))
        for start, end, kind in sentence.spans:
            words[start] = f"[{words[start]}"
            words[end - 1] += f"|{_escaped(self.types[kind])}]"
        return " ".join(words)

    def grammar(self, tokens: Sequence[str] | None) -> Grammar:
        names = list(map(_escaped, self.types.values()))
        if tokens is None:
            char = r"([^\\\[\]|]|\\[\\\[\]|])"
            visible = r"([^\\\[\]|\s]|\\[\\\[\]|])"
            text = Free("TEXT", f"/{char}+/", _PLAIN, lambda piece: completion_matching(piece, _TEXT))
            mention = Free(
                "MENTION", f"/{visible}{char}*/", _PLAIN, lambda piece: completion_matching(piece, _MENTION)
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
        words = list(map(_escaped, tokens))
        outside = [START, *(f"outside{place}" for place in range(1, len(words))), END]
        nodes: dict[str, list[Edge]] = {}
        for place, word in enumerate(words):
            space, inside = " " * bool(place), f"inside{place + 1}"
            nodes[outside[place]] = [Edge(space + word, outside[place + 1]), Edge(f"{space}[{word}", inside)]
            nodes[inside] = [Edge(f"|{name}]", outside[place + 1]) for name in names]
            if place + 1 < len(words):
                nodes[inside].append(Edge(f" {words[place + 1]}", f"inside{place + 2}"))
        return Grammar(nodes, early=outside[1:])

    def _parse(self, answer: str) -> Copy:
        written, name, begin, end, opened = "", "", -1, -1, 0
        mentions: list[CopiedMention] = []
        malformed: list[int] = []
        unclosed = 0  # malformed mentions whose closing bracket has not come yet
        for piece in _PIECE.finditer(answer):
            mark, text = piece["mark"], piece["escaped"] or piece["plain"]
            if mark == "|" and begin >= 0 > end:
                end = len(written)
            elif mark == "[" or (mark == "|" and begin >= 0):
                if begin >= 0:
                    malformed.append(begin)
                    unclosed += 1
                begin, end = len(written) if mark == "[" else -1, -1
                name, opened = "", piece.start()
            elif mark == "]" and begin < end:
                mentions.append(CopiedMention(begin, end, name, (opened, piece.end())))
                begin = end = -1
            elif mark == "]" and begin < 0 and unclosed:
                unclosed -= 1
            elif mark == "]":
                malformed.append(len(written))
                begin = end = -1
            elif end >= 0:
                name += text
            else:
                written += bare(text or mark)
        return Copy(written, mentions, malformed + [begin] * (begin >= 0))

    def _parse_loosely(self, answer: str) -> Copy:
        """Also with full-width brackets."""
        answer = answer if "[" in answer else answer.translate(_FULL_WIDTH)
        return self._parse(answer)._replace(has_form=False)


def _escaped(text: str) -> str:
    return _MARK.sub(r"\\\1", text)
