"""What all formats share: numbered lines of a file, values of JSON, and the errors that readers raise."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from ner_utils.config.dataset import Dataset
from ner_utils.messages import brief, shortened

DROPPED = "dropped_flaws"  # in `Sentence.treated`: a flaw that was skipped
OTHER_LEVEL = "other_level_mentions"  # in `Sentence.treated`: a mention of a level that is not read
SURROGATE = re.compile("[\ud800-\udfff]")  # one half of a pair, which UTF-8 cannot store


class DataError(Exception):
    """A corpus that cannot be used. The message names file, line and what was expected."""


class UnknownType(DataError):
    """A tag or type that the corpus does not declare. ``kind`` is the type, if it may be one."""

    def __init__(self, message: str, kind: str | None) -> None:
        super().__init__(message)
        self.kind = kind


def unknown(where: str, what: str, value: Any, dataset: Dataset) -> UnknownType:
    """The error for a tag or type that the corpus does not declare."""
    kind = value if isinstance(value, str) and value.strip() else None
    advice = ": declare `scheme: io`" if what == "tag" and kind in dataset.types else ""
    if what == "tag" and kind:
        kind = kind[2:] if kind[1:2] in ("-", "_") and kind[2:].strip() else None
    # The value of a private corpus is not quoted: if the columns are wrong, it may be a word of the text.
    value = "" if dataset.private else f" {brief(value)}"
    message = f"{where}: unknown {what}{value}; types are {shortened(', '.join(dataset.types))}{advice}"
    return UnknownType(message, None if dataset.private else kind)


def whole_text(path: Path) -> str:
    """The text of a file. Raises `DataError` with the line that is not UTF-8 or holds a null byte."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{number}: not UTF-8 ({error.reason}): save it as UTF-8") from None
    if (place := text.find("\0")) >= 0:
        number = text.count("\n", 0, place) + 1
        raise DataError(f"{path}:{number}: holds a null byte, so it is no text in UTF-8: save it as UTF-8")
    return text


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers and lines without line ends, and without the byte order marks of files that were joined.
    Only newlines end a line, because tokens may hold U+2028. Raises what `whole_text` raises."""
    lines = enumerate(whole_text(path).split("\n"), 1)
    return ((number, line.lstrip("\ufeff").rstrip("\r")) for number, line in lines)


def filled_lines(path: Path) -> Iterator[tuple[int, str]]:
    """`numbered_lines` without blank ones."""
    return ((number, line) for number, line in numbered_lines(path) if line.strip())


def check_names(where: str, missing: Collection[str], there: Iterable[str], dataset: Dataset) -> None:
    """Raise `DataError` if fields are missing; with those that are there, unless they may be text."""
    if missing:
        names = "" if dataset.private else f"; there are {shortened(', '.join(there))}"
        raise DataError(f"{where}: no field {min(missing)}{names}: see `fields` and `domain`")


def below(paths: Collection[Path]) -> dict[str, Path]:
    """Files by their paths below the deepest folder that holds all of them."""
    shared = os.path.commonpath([path.parent for path in paths] or [""])
    return {path.relative_to(shared).as_posix(): path for path in paths}


def distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are distinct; Python would silently keep the last of two equal keys."""
    if len(values := dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice")
    return values


JSON = json.JSONDecoder(object_pairs_hook=distinct_keys)
