"""Files with a JSON object on each line, as the ``datasets`` library writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import JSON, DataError, check_names, filled_lines
from ner_utils.data.formats.tokens.rows import RowReader
from ner_utils.data.sentence import Sentence
from ner_utils.messages import shortened


def read_json_lines(dataset: Dataset, flaws: list[str], path: Path) -> Iterator[Sentence]:
    """Read objects as `RowReader` expects them. Blank lines are skipped."""
    reader, missing, row = RowReader(dataset, flaws), dataset.declared, {}
    for number, line in filled_lines(path):
        where = f"{path}:{number}"
        try:
            row = JSON.decode(line)
            row[reader.tokens], row[reader.tags]
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            why, names = shortened(str(error), 100), f"{reader.tokens} and {reader.tags}"
            raise DataError(f"{where}: expected an object with {names} ({why})") from None
        missing -= row.keys()
        if sentence := reader.sentence(row, where):
            yield sentence
    check_names(f"{path}", row and missing, row, dataset)
