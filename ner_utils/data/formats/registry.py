"""The formats by the name that a corpus' configuration gives them (`schema.Dataset.format`).

A new format is one file with a reader, one line in `READERS`, and its name in the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ner_utils.config.schema import Dataset
from ner_utils.data.formats.biocreative import read_biocreative
from ner_utils.data.formats.columns import read_columns
from ner_utils.data.formats.json_lines import read_json_lines
from ner_utils.data.formats.lines import DROPPED, Flaws
from ner_utils.data.formats.pubtator import read_pubtator
from ner_utils.data.sentence import Sentence

# Each takes the configuration, a record for flaws and the files of a split. It raises `DataError` with file
# and line. Ids are empty where the files have none.
READERS: dict[str, Callable[..., Iterator[Sentence]]] = {
    "conll": read_columns,
    "jsonl": read_json_lines,
    "pubtator": read_pubtator,
    "biocreative": read_biocreative,
}


def read(dataset: Dataset, *files: Path) -> Iterator[Sentence]:
    """The sentences of a split; ids are empty where the files have none.

    With ``flaws: drop``, skipped flaws are counted in ``treated`` of the next sentence, or of the last one.
    Raises `DataError`: for other flaws after the last sentence, so that the message lists several.
    """
    flaws = Flaws(dataset.flaws == "drop")
    before = None
    for sentence in READERS[dataset.format](dataset, flaws, *files):
        if before:
            yield before
        before = _with_dropped(sentence, flaws.take())
    flaws.refuse()
    if before:
        yield _with_dropped(before, flaws.take())


def _with_dropped(sentence: Sentence, number: int) -> Sentence:
    return replace(sentence, treated=sentence.treated + (DROPPED,) * number) if number else sentence
