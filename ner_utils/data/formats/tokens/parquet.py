"""Parquet and Arrow files, as the hub and the ``datasets`` library store corpora."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import DataError, check_names
from ner_utils.data.formats.tokens.rows import RowReader
from ner_utils.data.sentence import Sentence
from ner_utils.messages import shortened


def read_parquet(dataset: Dataset, flaws: list[str], *paths: Path) -> Iterator[Sentence]:
    """Read rows as `RowReader` expects them, from all files of a split. Integer tags are named by the
    ``ClassLabel`` of their file, unless the corpus declares ``tags``."""
    reader = RowReader(dataset, flaws)
    for path in paths:
        batches = _opened(path)
        schema = next(batches)
        names = set(schema.names)
        check_names(f"{path}", {reader.tokens, reader.tags, *dataset.declared} - names, schema.names, dataset)
        if not dataset.tags:
            reader.name_integers(_class_labels(schema, reader.tags), f"{path}")
        columns = sorted({reader.tokens, reader.tags, *reader.keys} & names)
        rows = (row for batch in batches for row in batch.select(columns).to_pylist())
        for number, row in enumerate(rows, 1):
            if sentence := reader.sentence(row, f"{path}:{number}"):
                yield sentence


def _opened(path: Path) -> Iterator[Any]:
    """The schema of a file, and its rows in batches. Raises `DataError` for a damaged or another file."""
    import pyarrow
    from pyarrow import ipc, parquet

    try:
        with path.open("rb") as file:
            begin = file.read(6)
        if begin.startswith(b"PAR1"):
            table = parquet.ParquetFile(path)
            schema, batches = table.schema_arrow, table.iter_batches()
        elif begin == b"ARROW1":  # as Feather and Polars write it
            table = ipc.open_file(pyarrow.memory_map(str(path)))
            schema, batches = table.schema, map(table.get_batch, range(table.num_record_batches))
        else:  # as the ``datasets`` library writes it
            batches = ipc.open_stream(pyarrow.memory_map(str(path)))
            schema = batches.schema
        yield schema
        yield from batches
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: neither Parquet nor Arrow ({shortened(str(error), 100)})") from None


def _class_labels(schema: Any, column: str) -> list[str]:
    """The names of integer tags that a file's schema states, if any."""
    import pyarrow
    from datasets import ClassLabel, Features

    # The other columns may have types that the library does not know.
    alone = pyarrow.schema([schema.field(column)], schema.metadata)
    feature = Features.from_arrow_schema(alone)[column]
    feature = getattr(feature, "feature", feature)
    return feature.names if isinstance(feature, ClassLabel) else []
