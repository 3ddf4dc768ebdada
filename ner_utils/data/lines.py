"""Lines of corpus files: decoded, numbered, cut into columns; and what is said of one that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ner_utils import messages

SHOWN = 5  # flaws that one message lists


class DataError(Exception):
    """A corpus that cannot be used; the message names file, line and expectation."""


class Flaws:
    """What single lines of a split cannot state: all of them refused in one message, or left out and
    counted."""

    def __init__(self, drop: bool):
        self._drop = drop
        self._first: list[str] = []
        self._number = 0

    def add(self, where: str, what: str) -> None:
        """``where`` is file and line."""
        self._number += 1
        if len(self._first) < SHOWN:
            self._first.append(f"{where}: {what}")

    def take(self) -> int:
        """The number of flaws that were left out since the last call; 0 where they will be refused."""
        if not self._drop:
            return 0
        number, self._number = self._number, 0
        return number

    def refuse(self) -> None:
        """Raise `DataError` with the first flaws and the number of the others, unless they are left out."""
        if self._drop or not self._number:
            return
        others = self._number - len(self._first)
        more = [f"and {others} more"] if others else []
        advice = "`flaws: drop` in the corpus' file leaves such lines or mentions out, and counts them"
        raise DataError("\n".join([*self._first, *more, advice]))


def read(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends; only newlines end a line (tokens may hold U+2028).

    Raises `DataError` with the line that is not UTF-8, or holds a null byte.
    """
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{number}: not UTF-8 ({error.reason})") from None
    if (place := text.find("\0")) >= 0:
        number = text.count("\n", 0, place) + 1
        raise DataError(f"{path}:{number}: holds a null byte, so it is no text in UTF-8")
    return ((number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), 1))


# ------------------------------------------------------------------------------ columns
class Block(NamedTuple):
    """A sentence as its lines state it."""

    document: str | None
    numbers: list[int]  # of its lines
    rows: list[list[str]]  # their cells


# Document borders: CoNLL-2003's, JNLPBA's with the abstract's number, CoNLL-2012's and CoNLL-U's.
_DOCUMENT = re.compile(
    r"-DOCSTART-(?=\s|$)|###MEDLINE:(\S+)(?=\s|$)|#begin document (.+)|# newdoc(?: id = (.+)|\s*$)"
)
# Comments by their form: CoNLL-U's "# key = value" and "# newpar", MultiCoNER's "# id".
_METADATA = re.compile(r"# \S+(?: \S+)? =(?: |$)|# (?:id|newpar)(?=\s|$)|#end document")
_LIKE_A_TAG = re.compile(r"O|[BIESLUM](-.*)?")


def sentences(
    path: Path, separator: str, token: int, tag: int, columns: Sequence[str] | None = None
) -> Iterator[Block]:
    """Sentences of a file in columns; blank lines and document borders end them.

    ``separator``: ``tab``, or ``space``, which means tabs in a line that holds one and spaces in others.
    ``token`` and ``tag`` are places of columns. All lines must have as many columns as ``columns`` names,
    or, without them, as the first line has; empty cells after the last column do not count.

    A line before the first token of a sentence is a comment if it has the form of CoNLL-U's or MultiCoNER's
    metadata, or if it begins with ``#`` and a space, has another number of columns and does not end in a tag.
    So a token ``#`` with its columns stays a token. Raises `DataError` with file and line.
    """
    document, documents = None, 0
    numbers: list[int] = []
    rows: list[list[str]] = []
    width, first = (len(columns), 0) if columns else (0, 0)
    for number, line in read(path):
        # WNUT-17 separates sentences by a line that holds a single tab.
        blank = not line.strip()
        if separator == "space":
            line = line.strip(" ")
        border = None if blank or line[0] not in "-#" else _DOCUMENT.match(line)
        if blank or border:
            if rows:
                yield Block(document, numbers, rows)
                numbers, rows = [], []
            if border:
                documents += 1
                name = next(filter(None, border.groups()), None)
                document = name.strip() if name else f"{path.name}-{documents}"
            continue
        if separator == "tab" or "\t" in line:
            cells = line.split("\t")
        else:
            cells = [cell for cell in line.split(" ") if cell]
        if line[0] == "#" and _is_comment(line, cells, width):
            if rows:
                raise DataError(f"{path}:{number}: a comment inside a sentence; is a blank line missing?")
            continue
        if len(cells) != width:
            while len(cells) > max(width, 1) and not cells[-1].strip():
                cells.pop()
            if not width:
                width, first = len(cells), number
                if width <= max(token, tag, -tag - 1, 1):
                    raise DataError(f"{path}:{number}: expected a token and a tag, found {width} column(s)")
            if len(cells) != width:
                wanted = f"{width} columns, as in line {first}"
                if columns:
                    wanted = f"{messages.shortened(', '.join(columns))} (separated by a {separator})"
                raise DataError(f"{path}:{number}: expected {wanted}, found {len(cells)} column(s)")
        numbers.append(number)
        rows.append(cells)
    if rows:
        yield Block(document, numbers, rows)


def _is_comment(line: str, cells: Sequence[str], width: int) -> bool:
    """``width`` is the number of columns, 0 where it is not known yet."""
    if _METADATA.match(line):
        return True
    return line.startswith("# ") and len(cells) != width and not _LIKE_A_TAG.fullmatch(cells[-1])
