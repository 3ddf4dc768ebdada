"""Files with a JSON object on each line, as the ``datasets`` library writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import DataError, filled_lines
from ner_utils.data.formats.tokens.rows import RowReader
from ner_utils.data.sentence import Sentence
from ner_utils.messages import shortened


def read_json_lines(dataset: Dataset, flaws: list[str], path: Path) -> Iterator[Sentence]:
    """Read objects as `RowReader` expects them. Blank lines are skipped."""
    reader = RowReader(dataset, flaws)
    for number, line in filled_lines(path):
        where = f"{path}:{number}"
        try:
            row = _DECODER.decode(line)
            for field in reader.fields:
                row[field]
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            why, names = shortened(str(error), 100), " and ".join(reader.fields)
            raise DataError(f"{where}: expected an object with {names} ({why})") from None
        if sentence := reader.sentence(row, where):
            yield sentence


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are distinct; Python would silently keep the last of two equal keys."""
    if len(values := dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice")
    return values


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
