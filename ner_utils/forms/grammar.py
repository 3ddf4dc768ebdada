"""What an answer may be, as a small automaton: it becomes a grammar, and knows the shortest way to an end.

A node's edges are what may come next, literal text or `Free` text, and the node that follows. The empty
text leads on at once.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

START, END = "start", "end"  # where an answer begins, and where it may be over


class Free(NamedTuple):
    """Text that is not known beforehand: the terminal's name and definition in Lark, the longest piece of
    a written answer that could be it, how a piece that begins it goes on the shortest way (None: it begins
    nothing, empty: it may stay as it is), and the most bytes that this may take."""

    name: str
    definition: str
    extent: re.Pattern[bytes]
    rest: Callable[[bytes], bytes | None]
    longest: int


class Edge(NamedTuple):
    """What may come next, and what then."""

    text: str | Free
    to: str

    def ends(self, written: bytes, at: int) -> int:
        """Where the piece of a written answer ends that this edge may stand for."""
        if isinstance(self.text, Free):
            return self.text.extent.match(written, at).end()
        return min(len(written), at + len(self.text.encode()))

    def rest(self, piece: bytes) -> bytes | None:
        """The shortest way on from a piece of this edge; None where it is no piece of it."""
        if isinstance(self.text, Free):
            return self.text.rest(piece)
        whole = self.text.encode()
        return whole[len(piece) :] if whole.startswith(piece) else None

    @property
    def longest(self) -> int:
        """The most bytes that `rest` may have."""
        return self.text.longest if isinstance(self.text, Free) else len(self.text.encode())


class Grammar:
    """Nodes by name. At the nodes in ``early`` an answer that has no room left may stop as it is."""

    def __init__(self, nodes: Mapping[str, Sequence[Edge]], early: Sequence[str] = ()) -> None:
        self.nodes, self.early = dict(nodes), {END, *early}

    @cached_property
    def lark(self) -> str:
        """The grammar in llguidance's dialect of Lark."""
        texts = [edge.text for edges in self.nodes.values() for edge in edges]
        terminals = {f"{text.name}: {text.definition}" for text in texts if isinstance(text, Free)}
        rules = [f"{name}: {' | '.join(map(_alternative, edges))}" for name, edges in self.nodes.items()]
        return "\n".join([*rules, f'{END}: ""', *sorted(terminals)]) + "\n"

    @cached_property
    def reserve(self) -> int:
        """Bytes that suffice to close any beginning of an answer: a piece of an edge and what follows."""
        return max(edge.longest for edges in self.nodes.values() for edge in edges) + max(
            map(len, self._shortest.values())
        )

    def closing(self, written: bytes) -> bytes:
        """The shortest text that makes the beginning of an answer a whole one."""
        found: list[bytes] = []
        places, seen = [(START, 0)], set()
        while places:
            node, at = places.pop()
            if (node, at) in seen:
                continue
            seen.add((node, at))
            if at == len(written):
                found.append(self._shortest[node])
                continue
            for edge in self.nodes.get(node, ()):
                end = edge.ends(written, at)
                rest = edge.rest(written[at:end])
                if rest == b"":
                    places.append((edge.to, end))
                elif rest and end == len(written):
                    found.append(rest + self._shortest[edge.to])
        if not found:
            raise ValueError(f"{written!r} begins no answer")
        return min(found, key=len)

    @cached_property
    def _shortest(self) -> dict[str, bytes]:
        """For each node the shortest text from there to an end (Dijkstra, from the ends)."""
        into: dict[str, list[tuple[str, bytes]]] = {name: [] for name in (END, *self.nodes)}
        for name, edges in self.nodes.items():
            for edge in edges:
                into[edge.to].append((name, edge.rest(b"")))
        found: dict[str, bytes] = {}
        heap = [(0, b"", name) for name in sorted(self.early)]
        while heap:
            _, text, name = heapq.heappop(heap)
            if name in found:
                continue
            found[name] = text
            for before, piece in into[name]:
                heapq.heappush(heap, (len(piece + text), piece + text, before))
        return found


def _alternative(edge: Edge) -> str:
    text = edge.text.name if isinstance(edge.text, Free) else json.dumps(edge.text)
    return f"{text} {edge.to}" if edge.text else edge.to


def whole_characters(piece: bytes) -> bytes:
    """What is missing to the end of a character that UTF-8 has begun, one that can be seen."""
    for size in range(4):
        for first in (b"\x80", b"\x90", b"\xa0"):
            rest = (first + b"\x80" * (size - 1))[:size]
            try:
                text = (piece + rest).decode()
            except UnicodeDecodeError:
                continue
            if not rest or not text[-1].isspace():
                return rest
    raise ValueError(f"{piece!r} begins no text")
