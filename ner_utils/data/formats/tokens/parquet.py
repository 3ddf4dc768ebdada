"""Parquet and Arrow files, as the hub and the ``datasets`` library store corpora."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import DataError
from ner_utils.data.formats.tokens.rows import RowReader
from ner_utils.data.sentence import Sentence
from ner_utils.messages import shortened

if TYPE_CHECKING:
    import pyarrow


def read_parquet(dataset: Dataset, flaws: list[str], *paths: Path) -> Iterator[Sentence]:
    """Read rows as `RowReader` expects them, from all files of a split. Integer tags are named by the
    ``ClassLabel`` that the file states, unless the corpus declares ``tags``."""
    reader = None
    for path in paths:
        schema, rows = _opened(path)
        missing = {dataset.field("tokens"), dataset.field("ner_tags")} - set(schema.names)
        if missing:
            there = shortened(", ".join(schema.names))
            raise DataError(f"{path}: no column {min(missing)}; there are {there}: declare `fields`")
        try:
            reader = reader or RowReader(dataset, flaws, _class_labels(schema, dataset.field("ner_tags")))
        except ValueError as error:
            raise DataError(f"{path}: {error}") from None
        for number, row in enumerate(rows, 1):
            if sentence := reader.sentence(row, f"{path}:{number}"):
                yield sentence


def _opened(path: Path) -> tuple[pyarrow.Schema, Iterator[dict[str, Any]]]:
    """The schema of a file, and its rows. Raises `DataError` for another kind of file."""
    import pyarrow
    from pyarrow import ipc, parquet

    try:
        if path.suffix == ".arrow":
            batches = ipc.open_stream(pyarrow.memory_map(str(path)))
            schema = batches.schema
        else:
            file = parquet.ParquetFile(path)
            schema, batches = file.schema_arrow, file.iter_batches()
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: neither Parquet nor Arrow ({shortened(str(error), 100)})") from None
    return schema, (row for batch in batches for row in batch.to_pylist())


def _class_labels(schema: pyarrow.Schema, column: str) -> list[str]:
    """The names of integer tags that a file states, if any."""
    from datasets import ClassLabel, Features

    feature = Features.from_arrow_schema(schema)[column]
    feature = getattr(feature, "feature", feature)
    return feature.names if isinstance(feature, ClassLabel) else []
