"""JSON with texts and mentions by offsets, as spaCy, Prodigy, doccano and Label Studio export it.

A file is a JSON array, or has a JSON value on each line. A record is an object with a text, or a list of a
text and an object (spaCy's training data). Its mentions are lists ``[start, end, type]`` or objects; offsets
count code points, and ``end`` is exclusive. Label Studio's tasks have their text in ``data`` and their
mentions in the first annotation that was not cancelled.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import JSON, DataError, filled_lines, whole_text
from ner_utils.data.formats.offsets.standoff import Row, document_name, read_document
from ner_utils.data.sentence import Sentence
from ner_utils.messages import shortened

# The keys under which tools write the mentions of a record, and the parts of a mention.
MENTIONS = ("entities", "spans", "labels", "label", "annotations", "completions")
STARTS, ENDS = ("start", "start_offset", "begin"), ("end", "end_offset")
TYPES = ("label", "type", "labels", "entity", "tag")
TOKENS = "tokenized_text"  # of GLiNER
_SPACE = " \t\r\n"
# A list of records in an object, as some tools export it.
_LIST_INSIDE = re.compile(
    r'"annotations"\s*:\s*\[(?=\s*(?:\[|null))|"(?:examples|data)"\s*:\s*\[(?=\s*(?:[\[{]|null))'
)


def read_json_offsets(dataset: Dataset, flaws: list[str], path: Path) -> Iterator[Sentence]:
    """Read the records of a file. Raises `DataError` for a record of another form."""
    seen: set[str] = set()
    for index, (number, record) in enumerate(_records(path, dataset.field("text")), 1):
        where = f"{path}:{number}"  # an array may be on one line
        if _is_pair(record):
            record = {dataset.field("text"): record[0], **record[1]}
        if reason := _not_annotated(record):
            flaws.append(f"{where}: {reason}")
            continue
        if not isinstance(record, dict):
            raise DataError(f"{where}: expected an object with a text and mentions")
        if TOKENS in record:
            record = _with_offsets(record, dataset.field("text"), where)
        text = _text(record, dataset.field("text"), where)
        identity = record.get(dataset.field("id"))
        document = f"{path.name}:{index}" if identity is None else str(identity)
        if document in seen:
            flaws.append(f"{where}: {document_name(document, dataset)} occurs twice")
            continue
        seen.add(document)
        rows = (_row(mention, text, number, where, flaws) for mention in _mentions(record, where))
        yield from read_document(dataset, flaws, path, document, [text], list(filter(None, rows)))


def _not_annotated(record: Any) -> str:
    """Why a record has no gold annotation: nobody annotated it, or somebody rejected it."""
    if record is None:
        return "an empty record"
    if not isinstance(record, dict):
        return ""
    if (answer := record.get("answer", "accept")) in ("reject", "ignore"):  # Prodigy's
        return f"not annotated: its answer is {answer}"
    if isinstance(record.get("data"), dict):  # Label Studio's
        made = record.get("annotations", record.get("completions"))
        skipped = (not isinstance(each, dict) or each.get("was_cancelled") for each in made or ())
        if isinstance(made, list) and all(skipped):
            return "not annotated: nobody submitted an annotation"
    return ""


def _with_offsets(record: dict[str, Any], field: str, where: str) -> dict[str, Any]:
    """A record of GLiNER, whose mentions are the first and the last token, as one with offsets."""
    tokens, mentions = record[TOKENS], record.get("ner")
    if not isinstance(tokens, list) or not {str}.issuperset(map(type, tokens)):
        raise DataError(f"{where}: {TOKENS} must be strings")
    if not isinstance(mentions, list):
        raise DataError(f"{where}: no mentions; expected a list under ner")
    begins = [0, *itertools.accumulate(len(token) + 1 for token in tokens)]
    made = []
    for mention in mentions:
        if not isinstance(mention, list) or [type(part) for part in mention] != [int, int, str]:
            raise DataError(f"{where}: expected a mention as [first token, last token, type]")
        first, last, kind = mention
        inside = 0 <= first <= last < len(tokens)
        made.append([begins[first], begins[last + 1] - 1, kind] if inside else [-1, -1, kind])
    return record | {field: " ".join(tokens), "entities": made}


def _records(path: Path, field: str) -> Iterator[tuple[int, Any]]:
    """The values of a file with the lines on which they begin."""
    text = whole_text(path)
    head = text.lstrip(_SPACE)
    first = _value(head.partition("\n")[0])
    whole = head.startswith("{") and not (isinstance(first, dict) and field in first)
    wrapped = _LIST_INSIDE.search(text) if whole else None
    is_list = head.startswith("[") and not _is_pair(first)
    if not (is_list or wrapped):
        for number, line in filled_lines(path):
            try:
                yield number, JSON.decode(line)
            except (ValueError, RecursionError) as error:
                why = shortened(str(error), 100)
                raise DataError(f"{path}:{number}: expected a JSON value on the line ({why})") from None
        return
    at = _skip(text, wrapped.end() if wrapped else text.index("[") + 1)
    while text[at : at + 1] != "]":
        number = text.count("\n", 0, at) + 1
        try:
            value, end = JSON.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number}: no JSON ({shortened(str(error), 100)})") from None
        yield number, value
        end = _skip(text, end)
        if text[end : end + 1] not in (",", "]"):
            raise DataError(f"{path}:{text.count(chr(10), 0, end) + 1}: no JSON (expected , or ])")
        at = _skip(text, end + 1) if text[end] == "," else end


def _is_pair(value: Any) -> bool:
    """Whether a value is a text and an object, in a list."""
    return isinstance(value, list) and list(map(type, value)) == [str, dict]


def _value(line: str) -> Any:
    """The JSON value of a line, None where it is none."""
    with contextlib.suppress(ValueError, RecursionError):
        return JSON.decode(line)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _text(record: dict[str, Any], field: str, where: str) -> str:
    text = record.get(field, record.get("data"))
    if isinstance(text, dict):  # Label Studio's
        text = text.get(field)
    if not isinstance(text, str):
        there = shortened(", ".join(record))
        raise DataError(f"{where}: no text in the field {field}; there are {there}: declare `fields`")
    return text


def _mentions(record: dict[str, Any], where: str) -> list[Any]:
    """The mentions of a record. None are an empty list, so that a record without the key is refused."""
    for key in MENTIONS:
        if isinstance(found := record.get(key), list):
            break
    else:
        if "answer" in record:  # Prodigy leaves the key out where there is no mention
            return []
        raise DataError(f"{where}: no mentions; expected a list under one of {', '.join(MENTIONS)}")
    results = [each for each in found if isinstance(each, dict) and "result" in each]
    if key in ("annotations", "completions") and (results or not found):
        kept = [each for each in results if not each.get("was_cancelled")]
        found = kept[0]["result"] if kept else []
        values = [each["value"] for each in found if isinstance(each, dict) and "value" in each]
        found = [value for value in values if "start" in value]  # others are choices and ratings
    return found


def _row(mention: Any, text: str, number: int, where: str, flaws: list[str]) -> Row | None:
    """A mention as `standoff` takes it; its text is that at its offsets, unless the file states one. None for
    offsets outside of the text, which are a flaw."""
    expected = "expected a mention as [start, end, type], or an object with start, end and label"
    if isinstance(mention, list) and len(mention) == 3:
        start, end, kind = mention
        stated = None
    elif isinstance(mention, dict):
        start, end, kind = (_first(mention, keys) for keys in (STARTS, ENDS, TYPES))
        stated = mention.get("text")
    else:
        raise DataError(f"{where}: {expected}")
    if isinstance(kind, list) and len(kind) == 1:
        (kind,) = kind
    if type(start) is not int or type(end) is not int or not isinstance(kind, str):
        raise DataError(f"{where}: {expected}")
    if not 0 <= start < end <= len(text):
        flaws.append(f"{where}: a mention from {start} to {end} in a text of {len(text)} characters")
        return None
    covered = text[start:end]
    return Row(number, str(start), str(end), stated if isinstance(stated, str) else covered, kind)


def _first(mention: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((mention[key] for key in keys if key in mention), None)
