"""Which answers are valid, and what is the shortest way to close one that is about to be cut off?

A grammar is a small automaton. llguidance gets it as a Lark grammar and says which tokens may come next. It
cannot say how an answer ends within a number of tokens, so the shortest closing is found here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

START, END = "start", "end"  # where an answer begins, and where it may be over


class Free(NamedTuple):
    """Text that is not fixed.

    ``name`` and ``definition`` are those of the Lark terminal; ``extent`` matches the longest piece of a
    written answer that may be this text. ``rest`` gives the fewest bytes that complete a piece, None if no
    text begins with it; they are at most ``longest``.
    """

    name: str
    definition: str
    extent: re.Pattern[bytes]
    rest: Callable[[bytes], bytes | None]
    longest: int = 4


class Edge(NamedTuple):
    """Literal or free text that may come next, and the node that follows. Empty text leads on at once."""

    text: str | Free
    to: str

    def end(self, written: bytes, at: int) -> int:
        """The end of the piece at a place of a written answer that may be this edge's."""
        if isinstance(self.text, Free):
            return self.text.extent.match(written, at).end()
        return min(len(written), at + len(self.text.encode()))

    def rest(self, piece: bytes) -> bytes | None:
        """The fewest bytes that complete a piece of this edge; None if it is no piece of it."""
        if isinstance(self.text, Free):
            return self.text.rest(piece)
        whole = self.text.encode()
        return whole[len(piece) :] if whole.startswith(piece) else None


class Grammar:
    """The edges of each node by its name. At the nodes in ``early``, an answer without room may stop."""

    def __init__(self, nodes: Mapping[str, Sequence[Edge]], early: Sequence[str] = ()) -> None:
        self.nodes, self.early = dict(nodes), {END, *early}
        self._edges = [edge for edges in self.nodes.values() for edge in edges]

    @cached_property
    def lark(self) -> str:
        """The grammar in llguidance's dialect of Lark."""
        free = {edge.text for edge in self._edges if isinstance(edge.text, Free)}
        terminals = sorted({f"{text.name}: {text.definition}" for text in free})
        rules = [f"{name}: {' | '.join(map(_alternative, edges))}" for name, edges in self.nodes.items()]
        return "\n".join([*rules, f'{END}: ""', *terminals]) + "\n"

    @cached_property
    def reserve(self) -> int:
        """A number of bytes within which any beginning of an answer can be closed."""
        texts = (edge.text for edge in self._edges)
        longest = (text.longest if isinstance(text, Free) else len(text.encode()) for text in texts)
        return max(longest) + max(map(len, self._shortest.values()))

    def closing(self, written: bytes) -> bytes:
        """The shortest text that completes the beginning of an answer. Raises `ValueError` if no answer
        begins like that."""
        closings: list[bytes] = []
        places, seen = [(START, 0)], set()
        while places:
            node, at = places.pop()
            if (node, at) in seen:
                continue
            seen.add((node, at))
            if at == len(written):
                closings.append(self._shortest[node])
                continue
            for edge in self.nodes.get(node, ()):
                end = edge.end(written, at)
                rest = edge.rest(written[at:end])
                if rest == b"":
                    places.append((edge.to, end))
                elif rest and end == len(written):
                    closings.append(rest + self._shortest[edge.to])
        if not closings:
            raise ValueError(f"{written!r} begins no answer")
        return min(closings, key=len)

    @cached_property
    def _shortest(self) -> dict[str, bytes]:
        """The shortest text from each node to an end."""
        shortest, before = dict.fromkeys(self.early, b""), {}
        while shortest != before:
            before = dict(shortest)
            for name, edges in reversed(self.nodes.items()):
                texts = [edge.rest(b"") + shortest[edge.to] for edge in edges if edge.to in shortest]
                texts += [shortest[name]] if name in shortest else []
                if texts:
                    shortest[name] = min(texts, key=lambda text: (len(text), text))
        return shortest


def _alternative(edge: Edge) -> str:
    text = edge.text.name if isinstance(edge.text, Free) else json.dumps(edge.text)
    return f"{text} {edge.to}" if edge.text else edge.to


def completion(piece: bytes, is_whole: Callable[[bytes], bool]) -> bytes | None:
    """The fewest bytes that make a piece whole, None if there are none: the rest of a character in UTF-8 or
    of an escape, or a letter."""
    for size in range(4):
        for first in (b"", b"\x80", b"\x90", b"\xa0", b"x", b"\\"):
            rest = (first + b"\x80" * (size - 1))[:size]
            if is_whole(piece + rest):
                return rest
    return None
