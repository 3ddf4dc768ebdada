"""BioCreative's format: one file of titles and abstracts, and one of mentions with offsets in characters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import DataError, filled_lines
from ner_utils.data.formats.offsets.standoff import Row, document_name, read_document
from ner_utils.data.sentence import Sentence


def read_biocreative(dataset: Dataset, flaws: list[str], path: Path, annotations: Path) -> Iterator[Sentence]:
    """Read lines of id, title and abstract, and lines of id, number, type, start, end and text, all separated
    by tabs. Blank lines are skipped."""
    documents: dict[str, list[str]] = {}
    for number, line in filled_lines(path):
        document, *passages = line.split("\t")
        expected = "expected id, title and abstract of another document"
        if len(passages) != 2:
            raise DataError(f"{path}:{number}: {expected}")
        if document in documents:
            name = document_name(document, dataset)
            flaws.append(f"{path}:{number}: {expected}, {name} occurs twice")
            continue
        documents[document] = passages
    rows: dict[str, list[Row]] = {document: [] for document in documents}
    for number, line in filled_lines(annotations):
        cells = line.split("\t")
        if len(cells) != 6 or cells[0] not in documents:
            expected = f"id of a document in {path.name}, number, type, start, end and text"
            raise DataError(f"{annotations}:{number}: expected {expected}")
        document, _, kind, start, end, text = cells
        rows[document].append(Row(number, start, end, text, kind))
    for document, passages in documents.items():
        yield from read_document(dataset, flaws, annotations, document, passages, rows[document])
