"""BioC, as XML or JSON: documents of passages with their offsets, and annotations with locations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import JSON, DataError, whole_text
from ner_utils.data.formats.offsets.standoff import Row, document_name, read_document
from ner_utils.data.sentence import Sentence
from ner_utils.messages import shortened

if TYPE_CHECKING:
    from bioc import BioCAnnotation, BioCDocument


def read_bioc(dataset: Dataset, flaws: list[str], *paths: Path) -> Iterator[Sentence]:
    """Read all documents. The type of an annotation is its infon ``type``; relations are skipped. Raises
    `DataError` for a file that is no BioC, and for passages that overlap."""
    seen: set[str] = set()
    for path in paths:
        for document in _documents(path):
            name = document_name(document.id, dataset)
            if document.id in seen:
                flaws.append(f"{path}: {name} occurs twice")
                continue
            seen.add(document.id)
            passages = _passages(path, name, document)
            text = " ".join(passages)
            rows = [
                _row(path, name, number, each, text) for number, each in enumerate(_annotations(document), 1)
            ]
            yield from read_document(dataset, flaws, path, document.id, passages, rows)


def _documents(path: Path) -> list[BioCDocument]:
    from bioc import biocjson, biocxml  # late: few corpora need them
    from lxml.etree import XMLSyntaxError

    text = whole_text(path)
    try:
        if text.lstrip().startswith("{"):
            return biocjson.loads(json.dumps(_complete(JSON.decode(text)))).documents
        return biocxml.loads(text).documents
    except (XMLSyntaxError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: no BioC ({shortened(str(error), 100)})") from None


# Of a part in JSON, the parts that it contains.
_INSIDE = {
    "documents": ("passages", "annotations"),
    "passages": ("sentences", "annotations"),
    "sentences": ("annotations",),
    "annotations": (),
}


def _complete(values: dict[str, Any], inside: tuple[str, ...] = ("documents",)) -> dict[str, Any]:
    """A part in JSON with the keys that publishers leave out (BioRED, PubTator 3) and the library expects;
    without relations, which are not read. Raises `KeyError` for a document without passages."""
    if "passages" in inside and "passages" not in values:
        raise KeyError("passages")
    whole = {"source": "", "date": "", "key": "", "version": "", "infons": {}, "text": None} | values
    whole["documents"] = values.get("documents", values.get("PubTator3"))
    return whole | {
        "relations": [],
        **{key: [_complete(each, _INSIDE[key]) for each in whole.get(key) or ()] for key in inside},
    }


def _passages(path: Path, name: str, document: BioCDocument) -> list[str]:
    """The texts of a document's passages; joined by one character, each begins at its offset. A passage
    without a text has that of its sentences."""
    parts: list[str] = []
    length = -1  # of the parts, joined
    for passage in sorted(document.passages, key=lambda each: each.offset):
        nodes = [passage] if passage.text is not None else passage.sentences
        for node in nodes:
            gap = node.offset - length
            if node.text is None:
                continue
            if gap < 0:
                raise DataError(f"{path}: {name}: the passage at {node.offset} overlaps the one before it")
            if gap == 0:  # no character between the two
                parts[-1] += node.text
            elif parts:
                parts[-1] += " " * (gap - 1)
                parts.append(node.text)
            else:
                parts.append(" " * node.offset + node.text)
            length = node.offset + len(node.text)
    return parts


def _annotations(document: BioCDocument) -> Iterator[BioCAnnotation]:
    """The annotations of a document, wherever they stand."""
    yield from document.annotations
    for passage in document.passages:
        yield from passage.annotations
        for sentence in passage.sentences:
            yield from sentence.annotations


def _row(path: Path, name: str, number: int, annotation: BioCAnnotation, text: str) -> Row:
    """An annotation; its parts and the text between them where it is discontinuous."""
    kind, places = annotation.infons.get("type"), sorted(annotation.locations, key=lambda each: each.offset)
    if kind is None or not places:
        raise DataError(f"{path}: {name}: annotation {number} has no location or no infon type")
    start, end = places[0].offset, max(each.end for each in places)
    apart = len(places) > 1
    covered = text[start:end] if apart or annotation.text is None else annotation.text
    return Row(f"annotation {number} of {name}", str(start), str(end), covered, kind, apart)
