"""CSV with a row for each token: the sentence, the token and its tag."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import DataError, whole_text
from ner_utils.data.formats.tokens.rows import RowReader
from ner_utils.data.sentence import Sentence
from ner_utils.messages import shortened


def read_table(dataset: Dataset, flaws: list[str], path: Path) -> Iterator[Sentence]:
    """Read a table with a header. A sentence goes on while its cell stays the same or is empty, as in files
    that name it only once."""
    names = [dataset.field(name) for name in ("sentence", "token", "tag")]
    rows = csv.reader(io.StringIO(whole_text(path), newline=""), strict=True)
    header = next(rows, [])
    if missing := [name for name in names if name not in header]:
        there = shortened(", ".join(header))
        raise DataError(f"{path}:1: no column {missing[0]}; there are {there}: declare `fields`")
    places = [header.index(name) for name in names]
    reader = RowReader(dataset, flaws)
    for number, tokens, tags in _sentences(path, rows, len(header), places):
        row = {reader.tokens: tokens, reader.tags: tags}
        if sentence := reader.sentence(row, f"{path}:{number}"):
            yield sentence


def _sentences(
    path: Path, rows: Iterator[list[str]], width: int, places: list[int]
) -> Iterator[tuple[int, list[str], list[str]]]:
    """The first line, the tokens and the tags of each sentence. Raises `DataError` for a row of another width
    and for quotation marks that do not close."""
    begin, before, tokens, tags = 2, "", [], []
    number = 2
    try:
        for row in rows:
            if row and len(row) != width:
                raise DataError(
                    f"{path}:{number}: expected {width} cells, as in the header, found {len(row)}"
                )
            if row:
                sentence, token, tag = (row[place] for place in places)
                if tokens and sentence and sentence != before:
                    yield begin, tokens, tags
                    begin, tokens, tags = number, [], []
                before = sentence or before
                tokens.append(token)
                tags.append(tag.strip())
            number = rows.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{number}: no CSV ({error})") from None
    if tokens:
        yield begin, tokens, tags
