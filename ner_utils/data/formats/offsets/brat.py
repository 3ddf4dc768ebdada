"""brat's standoff format: for each document a text (.txt) and its annotations (.ann)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import DataError, below, filled_lines, whole_text
from ner_utils.data.formats.offsets.standoff import Row, read_document, row_of
from ner_utils.data.sentence import Sentence

_OFFSETS = r"\d+ \d+(?:;\d+ \d+)*"
_MENTION = re.compile(rf"T\S*\t(\S+) ({_OFFSETS})(?:\t(.*))?")
# Relations, events, attributes, normalisations, equivalences and notes.
_OTHERS = ("R", "E", "A", "M", "N", "*", "#", "W")


def read_brat(dataset: Dataset, flaws: list[str], *paths: Path) -> Iterator[Sentence]:
    """Read texts and annotations with the same names; a line of a text begins a sentence. Offsets count code
    points. Lines that are no mentions (relations, events, notes) are skipped."""
    texts = _by_document([path for path in paths if path.suffix != ".ann"])
    annotated = _by_document([path for path in paths if path.suffix == ".ann"])
    if alone := sorted(texts.keys() ^ annotated.keys()):
        path, numbers = (texts | annotated)[alone[0]], f"{len(texts)} and {len(annotated)}"
        raise DataError(f"{path}: expected a text and a file .ann of the same name; there are {numbers}")
    for document, path in texts.items():
        text, annotations = whole_text(path), annotated[document]
        rows = [
            _row(annotations, number, line, text)
            for number, line in filled_lines(annotations)
            if line[0] not in _OTHERS
        ]
        yield from read_document(dataset, flaws, annotations, document, text.split("\n"), rows)


def _by_document(paths: list[Path]) -> dict[str, Path]:
    """Files by the names of their documents: their own, with the folders where several have one name."""
    times = Counter(path.stem for path in paths)
    return {
        path.stem if times[path.stem] == 1 else place.removesuffix(path.suffix): path
        for place, path in below(paths).items()
    }


def _row(path: Path, number: int, line: str, text: str) -> Row:
    match = _MENTION.fullmatch(line)
    if not match:
        raise DataError(f"{path}:{number}: expected T1, a tab, type, start and end, a tab and the text")
    kind, offsets, stated = match.groups()
    parts = [tuple(map(int, part.split())) for part in offsets.split(";")]
    return row_of(number, parts, stated, kind, text)
