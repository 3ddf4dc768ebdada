"""PubTator's format: title, abstract and mentions of each document, with offsets in characters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import DataError, filled_lines
from ner_utils.data.formats.offsets.standoff import Row, document_name, read_document, short
from ner_utils.data.sentence import Sentence

_PASSAGE = re.compile(r"([^|\t]+)\|([ta])\|(.*)")


def read_pubtator(dataset: Dataset, flaws: list[str], path: Path) -> Iterator[Sentence]:
    """Read documents: ``id|t|title``, ``id|a|abstract``, mentions, and relations, which are skipped.

    A mention is id, start, end, text, type and optionally identifiers and the parts of a composite mention,
    separated by tabs. Blank lines are skipped.
    """
    lines = list(filled_lines(path))
    passages = ((at, _PASSAGE.fullmatch(line)) for at, (_, line) in enumerate(lines))
    starts = [at for at, passage in passages if passage and passage[2] == "t"]
    seen: set[str] = set()
    for start, end in pairwise(sorted({0, *starts, len(lines)})):
        (first, line), *rest = lines[start:end]
        title, abstract = (_PASSAGE.fullmatch(text) for text in (line, rest[0][1] if rest else ""))
        if not title or not abstract or (title[2], abstract[2], title[1]) != ("t", "a", abstract[1]):
            raise DataError(f"{path}:{first}: expected id|t|title, and id|a|abstract below")
        document, rows = title[1], []
        if document in seen:
            flaws.append(f"{path}:{first}: {document_name(document, dataset)} occurs twice")
            continue
        seen.add(document)
        for number, line in rest[1:]:
            cells = line.split("\t")
            names_relation = len(cells) in (4, 5) and cells[1].replace("_", "").isalpha()
            if names_relation and cells[-1] not in dataset.types:
                continue
            if len(cells) < 5 or cells[0] != document:
                identity = "its id" if dataset.private else short(document)
                raise DataError(f"{path}:{number}: expected {identity}, start, end, text and type")
            rows.append(Row(number, *cells[1:5], discontinuous=len(cells) > 6 and "|" in cells[6]))
        yield from read_document(dataset, flaws, path, document, [title[3], abstract[3]], rows)
