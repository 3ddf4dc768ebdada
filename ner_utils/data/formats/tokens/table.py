"""CSV with a row for each token: the sentence, the token and its tag."""

from __future__ import annotations

import csv
import io
import itertools
import operator
from collections.abc import Container, Iterator
from pathlib import Path

from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import DataError, check_names, unknown, whole_text
from ner_utils.data.formats.tokens.rows import RowReader
from ner_utils.data.sentence import Sentence


def read_table(dataset: Dataset, flaws: list[str], path: Path) -> Iterator[Sentence]:
    """Read a table with a header. A sentence goes on while its cell and that of its document, if there are
    documents, stay the same or are empty, as in files that name them only once."""
    reader = RowReader(dataset, flaws)
    table = _rows(path, dataset, reader.meanings[str])
    for (document, _), rows in itertools.groupby(table, key=operator.itemgetter(0, 1)):
        numbers, tokens, tags = zip(*(row[2:] for row in rows), strict=True)
        row = {reader.tokens: list(tokens), reader.tags: list(tags), dataset.field("document"): document}
        if sentence := reader.sentence(row, f"{path}:{numbers[0]}"):
            yield sentence


def _rows(path: Path, dataset: Dataset, known: Container[str]) -> Iterator[tuple[str, str, int, str, str]]:
    """Document, sentence, line, token and tag of each row. Raises `DataError` for a row of another width,
    an unknown tag, and quotation marks that do not close."""
    rows = csv.reader(io.StringIO(whole_text(path).replace("\n\ufeff", "\n"), newline=""), strict=True)
    header, number = next(rows, []), 2
    names = [dataset.field(name) for name in ("document", "sentence", "token", "tag")]
    if len(header) == 1 and (separator := next((each for each in ";\t" if each in header[0]), None)):
        raise DataError(f"{path}:1: separated by {separator!r}; expected commas")
    check_names(f"{path}:1", {*names[1:], *dataset.declared} - set(header), header, dataset)
    if twice := [name for name in names if header.count(name) > 1]:
        raise DataError(f"{path}:1: two columns have the name {twice[0]}")
    document = sentence = ""
    try:
        for row in rows:
            if row and len(row) != len(header):
                expected = f"expected {len(header)} cells, as in the header"
                raise DataError(f"{path}:{number}: {expected}, found {len(row)}")
            if row:
                cells = dict(zip(header, row, strict=True))
                document = cells.get(names[0]) or document
                sentence = cells[names[1]] or sentence
                tag = cells[names[3]].strip()
                if tag not in known:
                    raise unknown(f"{path}:{number}", "tag", tag, dataset)
                yield document, sentence, number, cells[names[2]], tag
            number = rows.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{number}: no CSV ({error})") from None
