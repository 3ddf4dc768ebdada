"""The formats by the name that a corpus' configuration gives them (`dataset.Dataset.format`).

A new format is one file with a reader, one line in `READERS`, and its name in the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ner_utils import paths
from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import DROPPED, DataError, UnknownType
from ner_utils.data.formats.offsets.bioc_files import read_bioc
from ner_utils.data.formats.offsets.biocreative import read_biocreative
from ner_utils.data.formats.offsets.brat import read_brat
from ner_utils.data.formats.offsets.json_offsets import read_json_offsets
from ner_utils.data.formats.offsets.pubtator import read_pubtator
from ner_utils.data.formats.tokens.columns import read_columns
from ner_utils.data.formats.tokens.json_lines import read_json_lines
from ner_utils.data.formats.tokens.parquet import read_parquet
from ner_utils.data.formats.tokens.table import read_table
from ner_utils.data.sentence import Sentence
from ner_utils.files import write_whole
from ner_utils.messages import visible

# A reader takes the configuration, a list for messages about flaws (mentions and lines that contradict
# themselves) and the files of a split. It raises `DataError` with file and line for anything else.
READERS: dict[str, Callable[..., Iterator[Sentence]]] = {
    "conll": read_columns,
    "jsonl": read_json_lines,
    "parquet": read_parquet,
    "csv": read_table,
    "offsets": read_json_offsets,
    "pubtator": read_pubtator,
    "biocreative": read_biocreative,
    "brat": read_brat,
    "bioc": read_bioc,
}
SHOWN = 5  # flaws in one message
MOST = 40  # unknown types in one message


def read(dataset: Dataset, *files: Path) -> Iterator[Sentence]:
    """The sentences of a split; ids are empty where the files have none.

    With ``flaws: drop``, flaws are counted in ``treated`` of the next sentence, or of the last one. Raises
    `DataError`; for other flaws after the last sentence, so that the message has several, and a file all.
    """
    flaws: list[str] = []
    before = None
    try:
        for sentence in READERS[dataset.format](dataset, flaws, *files):
            if before:
                yield before
            before = _with_dropped(sentence, flaws) if dataset.flaws == "drop" else sentence
    except UnknownType as error:
        raise _all_unknown(dataset, files, error) from None
    if flaws and dataset.flaws != "drop":
        more = [f"and {len(flaws) - SHOWN} more: {_listed(flaws, files)}"] if len(flaws) > SHOWN else []
        advice = "`flaws: drop` in the corpus' file leaves such lines or mentions out, and counts them"
        raise DataError("\n".join([*flaws[:SHOWN], *more, advice]))
    if before:
        yield _with_dropped(before, flaws)


def _listed(flaws: Sequence[str], files: Sequence[Path]) -> str:
    """The name of a file that lists all flaws of a split."""
    target = paths.RUNS / "flaws" / f"{files[0].parent.name}-{files[0].stem}.txt"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, "".join(f"{visible(flaw)}\n" for flaw in flaws).encode())
    return f"{paths.relative(target)} lists all"


def _all_unknown(dataset: Dataset, files: Sequence[Path], first: UnknownType) -> UnknownType:
    """The first unknown type of a split with all other ones, so that they can be declared at once."""
    found, error = [], first
    while error and error.kind and error.kind not in (*dataset.types, *found) and len(found) < MOST:
        found.append(error.kind)
        types = dataset.types | {kind: f"{number}" for number, kind in enumerate(found)}
        error = None
        try:
            for _ in READERS[dataset.format](dataset.model_copy(update={"types": types}), [], *files):
                pass
        except UnknownType as next_one:
            error = next_one
        except DataError:
            break
    others = ", ".join(found[1:])
    return UnknownType(f"{first}; other unknown types: {others}" if others else str(first), first.kind)


def _with_dropped(sentence: Sentence, flaws: list[str]) -> Sentence:
    """The sentence with the flaws since the last one, which are then forgotten."""
    dropped = (DROPPED,) * len(flaws)
    flaws.clear()
    return replace(sentence, treated=sentence.treated + dropped) if dropped else sentence
