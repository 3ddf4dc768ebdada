"""Files in columns (CoNLL's formats): a line for each token, a blank line after each sentence."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ner_utils.config.dataset import Dataset, plain, plain_tags
from ner_utils.data.formats.lines import OTHER_LEVEL, DataError, numbered_lines, unknown
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import spans_from_tags
from ner_utils.messages import shortened

# Lines that begin a document in CoNLL-2003, JNLPBA (with the abstract's number), CoNLL-2012 and CoNLL-U.
_DOCUMENT = re.compile(
    r"-DOCSTART-(?=\s|$)|###MEDLINE:(\S+)(?=\s|$)|#begin document (.+)|# newdoc(?: id = (.+)|\s*$)"
)
# Comments: "# key = value" and "# newpar" in CoNLL-U, "# id" in MultiCoNER, and the end of a document.
_METADATA = re.compile(r"# \S+(?: \S+)? =(?: |$)|# (?:id|newpar)(?=\s|$)|#end document")
_LIKE_A_TAG = re.compile(r"O|[BIESLUM](-.*)?")


def read_columns(dataset: Dataset, flaws: list[str], path: Path) -> Iterator[Sentence]:
    """Read a file in columns, among them ``token`` and ``tag``; see `read_blocks`."""
    meanings, scheme = plain_tags(list(dataset.types), dataset.scheme), plain(dataset.scheme)
    token, tag = (dataset.columns.index(name) for name in ("token", "tag"))
    levels = [place for place, name in enumerate(dataset.columns) if name.startswith("tag:")]
    domain_column = dataset.columns.index(dataset.domain) if dataset.domain else None
    settings = (dataset.separator, token, tag, dataset.columns, dataset.header, meanings)
    for document, numbers, rows in read_blocks(path, *settings):
        for number, row in zip(numbers, rows, strict=True):
            if row[tag] not in meanings:
                raise unknown(f"{path}:{number}", "tag", row[tag], dataset)
            if not row[token].strip():
                flaws.append(f"{path}:{number}: empty token")
        if kept := [row for row in rows if row[token].strip()]:
            spans, repaired = spans_from_tags([meanings[row[tag]] for row in kept], scheme)
            # The tokens of a sentence should agree about the domain; the last one counts.
            domain = None if domain_column is None else kept[-1][domain_column]
            tokens = tuple(row[token] for row in kept)
            others = sum(_begins([row[place] for row in kept]) for place in levels)
            treated = (OTHER_LEVEL,) * others
            yield Sentence("", document, tokens, tuple(spans), repaired, treated=treated, domain=domain)


def _begins(tags: Sequence[str]) -> int:
    """The number of mentions of a sentence on a level that is not read, whatever their types."""
    letters = [tag[:1] or "O" for tag in tags]
    pairs = itertools.pairwise(["O", *letters])
    return sum(letter in "BSU" or (letter in "IM" and before == "O") for before, letter in pairs)


def read_blocks(
    path: Path,
    separator: str,
    token: int,
    tag: int,
    columns: Sequence[str] | None = None,
    header: bool = False,
    tags: Collection[str] = ("O",),
) -> Iterator[tuple[str | None, list[int], list[list[str]]]]:
    """Read a file in columns: for each sentence its document, the numbers of its lines, and their cells.

    Blank lines and the beginning of a document end a sentence.
    ``separator`` is ``tab``, ``space`` or ``comma``; with ``space``, a line that holds a tab is split at
    tabs; with ``comma``, cells may be quoted, and a line with an empty token and no mention is blank.
    ``token`` and ``tag`` are indices of columns. Each line must have as many columns as ``columns`` names,
    or, without names, as the first line; a ``header`` is skipped; empty cells after the last column are
    ignored.

    A line before the first token of a sentence is a comment if it looks like metadata of CoNLL-U or
    MultiCoNER, or if it begins with ``#`` and a space, has another number of columns and does not end in a
    tag. A line that begins with ``#``, has all columns and one of the known ``tags`` is a token; but a first
    column of another kind, which is ``#``, makes a line a comment.
    Raises `DataError` with file and line.
    """
    document, documents = None, 0
    numbers: list[int] = []
    rows: list[list[str]] = []
    width, first = (len(columns), 0) if columns else (0, 0)
    lines = _cells_by_tabs(path, token, tag, width) if separator == "comma" else numbered_lines(path)
    for number, line in itertools.islice(lines, int(header), None):
        blank = not line.strip()  # in WNUT-17, the line between two sentences holds a tab
        if separator == "space":
            line = line.strip(" ")
        if separator != "space" or "\t" in line:
            cells = line.split("\t")
        else:
            cells = [cell for cell in line.split(" ") if cell]
        marked = not blank and line[0] == "#" and not (len(cells) == width and cells[tag] in tags)
        border = _DOCUMENT.match(line) if marked or line[:1] == "-" else None
        if blank or border:
            if rows:
                yield document, numbers, rows
                numbers, rows = [], []
            if border:
                documents += 1
                name = next(filter(None, border.groups()), None)
                document = name.strip() if name else f"{path.name}-{documents}"
            continue
        text = line.startswith("# ") and len(cells) != width and not _LIKE_A_TAG.fullmatch(cells[-1])
        if (token and cells[0] == "#") or (marked and (text or _METADATA.match(line))):
            if rows:
                raise DataError(f"{path}:{number}: a comment inside a sentence; is a blank line missing?")
            continue
        if len(cells) != width:
            while len(cells) > max(width, 1) and not cells[-1].strip():
                cells.pop()
            if not width:
                width, first = len(cells), number
                if width <= max(token, tag, -tag - 1, 1):
                    expected = f"a token in column {token} and a tag in column {tag} (0 is the first)"
                    raise DataError(f"{path}:{number}: expected {expected}, found {width} column(s)")
            if len(cells) != width:
                expected = f"{width} columns, as in line {first}"
                if columns:
                    expected = f"{shortened(', '.join(columns))} (separated by a {separator})"
                raise DataError(f"{path}:{number}: expected {expected}, found {len(cells)} column(s)")
        numbers.append(number)
        rows.append(cells)
    if rows:
        yield document, numbers, rows


def _cells_by_tabs(path: Path, token: int, tag: int, width: int) -> Iterator[tuple[int, str]]:
    """The lines of a file with commas, with tabs in their place, and blank ones for borders of sentences."""
    for number, line in numbered_lines(path):
        try:
            cells = next(csv.reader([line], strict=True), [])
        except csv.Error as error:
            raise DataError(f"{path}:{number}: no CSV ({error})") from None
        border = len(cells) >= width and not cells[token] and cells[tag] in ("", "O")
        border = border and not any(cells[width:])
        yield number, "" if border else "\t".join(cell.replace("\t", " ") for cell in cells)
