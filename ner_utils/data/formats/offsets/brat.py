"""brat's standoff format: for each document a text (.txt) and its annotations (.ann)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import DataError, filled_lines, whole_text
from ner_utils.data.formats.offsets.standoff import Row, document_name, read_document
from ner_utils.data.sentence import Sentence

_OFFSETS = r"\d+ \d+(?:;\d+ \d+)*"
_MENTION = re.compile(rf"T\S*\t(\S+) ({_OFFSETS})(?:\t(.*))?")
# Relations, events, attributes, normalisations, equivalences and notes.
_OTHERS = ("R", "E", "A", "M", "N", "*", "#", "W")


def read_brat(dataset: Dataset, flaws: list[str], *paths: Path) -> Iterator[Sentence]:
    """Read texts and annotations with the same names; a line of a text begins a sentence. Offsets count code
    points. Lines that are no mentions (relations, events, notes) are skipped."""
    texts = {path.stem: path for path in paths if path.suffix != ".ann"}
    annotated = {path.stem: path for path in paths if path.suffix == ".ann"}
    if alone := sorted(texts.keys() ^ annotated.keys()):
        path = (texts | annotated)[alone[0]]
        raise DataError(f"{path}: expected a text and a file .ann of the same name")
    for document, path in texts.items():
        text, annotations = whole_text(path), annotated[document]
        rows = [
            row
            for number, line in filled_lines(annotations)
            if line[0] not in _OTHERS
            and (row := _row(dataset, flaws, annotations, document, number, line, text))
        ]
        yield from read_document(dataset, flaws, annotations, document, text.split("\n"), rows)


def _row(
    dataset: Dataset, flaws: list[str], path: Path, document: str, number: int, line: str, text: str
) -> Row | None:
    """A mention; its parts and the text between them where it is discontinuous. None for a flaw."""
    match = _MENTION.fullmatch(line)
    if not match:
        raise DataError(f"{path}:{number}: expected T1, a tab, type, start and end, a tab and the text")
    kind, offsets, stated = match.groups()
    parts = [tuple(map(int, part.split())) for part in offsets.split(";")]
    start, end = parts[0][0], parts[-1][1]
    if len(parts) > 1:
        joined = " ".join(text[first:last] for first, last in parts)
        if stated is not None and " ".join(joined.split()) != " ".join(stated.split()):
            name = document_name(document, dataset)
            flaws.append(f"{path}:{number}: {name}: the text of the mention is not at its offsets")
            return None
        stated = None
    covered = text[start:end]
    return Row(number, str(start), str(end), covered if stated is None else stated, kind, len(parts) > 1)
