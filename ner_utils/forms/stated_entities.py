"""Which entities an answer states that should be a JSON list of objects with text and type.

An item is an element of the list that is the answer. Beside the objects that are asked for, these are read:
objects with other keys (``Text``, ``label``, ``mention``), pairs ``["Ada", "person"]``, objects that map
texts to types or types to texts, and lists inside objects, ``{"entities": [...]}``, or inside strings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ner_utils.forms.base import Extent, Status, without_thoughts
from ner_utils.forms.lenient_json import Value, values

# Keys that models write for those that are asked for, whatever their case and punctuation; the first that an
# object has counts.
_KEYS = {
    "text": ["text", "mention", "surface", "span", "word", "name", "value", "namedentity", "entity"],
    "type": ["type", "label", "category", "class", "tag", "entitytype", "entitygroup", "kind", "entity"],
    "occurrence": ["occurrence"],
}


class Item(NamedTuple):
    """One item of an answer: the values of text, type and occurrence as far as it states them, where it
    stands, and whether it was written with the keys that are asked for."""

    fields: dict[str, Any]
    extent: Extent
    asked: bool = False

    @property
    def is_entity(self) -> bool:
        text, kind = self.fields.get("text"), self.fields.get("type")
        return isinstance(text, str) and isinstance(kind, str) and bool(text.strip())


def find(answer: str, known: Callable[[str], Any]) -> tuple[list[Item], Status]:
    """The items of an answer; ``known`` says whether a word names a type.

    Where the whole text is a list in JSON, that is the answer. Otherwise the answer is the last whole list
    that holds an entity; else the last list that the text's end cuts off; else all entities that stand
    alone; else the last list or object, which may be empty or hold flawed items alone. An object that is
    cut off states nothing.
    """
    if _is_json_list(answer):
        reader = _Reader(answer, known)
        items = reader.items(next(values(answer, anywhere=True)))
        return items, "ok" if all(item.asked for item in items) else "recovered"
    for text in reversed(without_thoughts(answer)):
        items = _stated(text, _Reader(text, known))
        if items is not None:
            return items, "recovered"
    return [], "failed"


def _stated(text: str, reader: _Reader) -> list[Item] | None:
    """The items of an answer that is no list in JSON; None where it states nothing."""
    lists: dict[bool, list[Item]] = {}  # the last that is whole, and the last that is not
    lone: list[Item] = []
    last: list[Item] | None = None
    for root in values(text):
        found = list(reader.outermost(root))
        for value, items in found:
            if reader.is_lone(value):
                lone += items
            else:
                lists[value.whole] = items
        if not found:
            items = reader.items(root)
            lone += items if root.kind == "object" else []
            last = items if items or _is_empty(root) else last
    if lists:
        return lists.get(True) or lists[False]
    return lone if any(item.is_entity for item in lone) else last


class _Reader:
    """Reads the values of one answer."""

    def __init__(self, text: str, known: Callable[[str], Any]) -> None:
        self.text, self.known = text, known

    def outermost(self, value: Value) -> Iterator[tuple[Value, list[Item]]]:
        """The outermost values that hold entities, with their items."""
        items = self.items(value)
        if any(item.is_entity for item in items):
            yield value, items
        else:
            for part in _parts(value):
                yield from self.outermost(part)

    def items(self, value: Value, kind: str | None = None) -> list[Item]:
        """The items of a list or object, ``kind`` being the type's word that stands before it."""
        if value.kind == "object":
            return self._of_object(value, kind)
        if value.kind != "list":
            return []
        return self._pair(value) if self.is_lone(value) else self._of_list(value, kind)

    def is_lone(self, value: Value) -> bool:
        """Whether a value is one entity, rather than a list of them."""
        if value.kind == "object":
            return {"text", "type"} <= set(_fields(value)[0])
        return any(self.known(item.fields["type"]) for item in self._pair(value))

    def _of_list(self, value: Value, kind: str | None) -> list[Item]:
        items: list[Item] = []
        nested = all(each.kind == "list" for each in value.content)
        for each in value.content:
            stated: list[Item] = []
            if each.kind == "object":
                stated = self._of_object(each, kind)
            elif each.kind == "list":
                stated = self._pair(each)
                if nested and not stated:
                    stated = [item._replace(asked=False) for item in self._of_list(each, kind)]
            elif each.kind == "text" and kind:
                stated = [Item({"text": each.content, "type": kind}, (each.begin, each.end))]
            if any(item.is_entity for item in stated):
                items += stated
            elif each.whole:
                items.append(Item({}, (each.begin, each.end), asked=True))
        return items

    def _pair(self, value: Value) -> list[Item]:
        """The entity of a list of text, type and perhaps occurrence. With an unknown type it is counted, and
        no reason to call the answer another notation."""
        kinds = [each.kind for each in value.content] if value.kind == "list" else []
        if kinds not in (["text", "text"], ["text", "text", "other"]) or not value.whole:
            return []
        contents = [each.content for each in value.content]
        asked = not self.known(contents[1])
        return [Item(dict(zip(_KEYS, contents, strict=False)), (value.begin, value.end), asked)]

    def _of_object(self, value: Value, kind: str | None) -> list[Item]:
        fields, asked = _fields(value)
        alone = [Item(fields, (value.begin, value.end), asked)] if value.whole else []
        if {"text", "type"} <= set(fields):
            return alone
        if kind and "text" in fields:
            return [item._replace(fields=fields | {"type": kind}) for item in alone]
        pairs = [(key.content, part) for key, part in value.content if key and key.kind == "text"]
        items: list[Item] = []
        if not fields and any(part.kind == "text" and self.known(part.content) for _, part in pairs):
            for key, part in value.content:
                if key and key.kind == part.kind == "text":
                    items.append(Item({"text": key.content, "type": part.content}, (key.begin, part.end)))
        elif any(self.known(key) for key, _ in pairs):
            for key, part in pairs:
                group = part._replace(kind="list", content=[part]) if part.kind == "text" else part
                items += self.items(group, key)
        else:
            for _, part in value.content:
                items += self._inside(part)
        if any(item.is_entity for item in items):
            return items
        return alone if fields else []

    def _inside(self, value: Value) -> list[Item]:
        """The items of a part of an object that is no entity itself."""
        if value.kind == "text" and value.content.lstrip()[:1] in ("[", "{"):
            value = next(values(self.text, value.begin + 1, value.end - 1), value)
        items = self.items(value)
        return items if any(item.is_entity for item in items) else []


def _fields(value: Value) -> tuple[dict[str, Any], bool]:
    """What an object says of an entity, and whether it uses the keys that are asked for. Under another key
    than that, texts alone are taken."""
    exact = {key.content: part for key, part in value.content if key and key.kind == "text"}
    scalars = {key: part for key, part in exact.items() if part.kind in ("text", "other")}
    loose = {re.sub(r"[\W_]+", "", key).lower(): part for key, part in scalars.items()}
    fields, used = {}, set()
    for name, keys in _KEYS.items():
        key = next((key for key in keys if key in loose and key not in used), None)
        if name in exact:
            fields[name] = exact[name].content
            used.add(name)
        elif key:
            fields[name] = loose[key].content
            used.add(key)
    return fields, all(name in exact for name in fields)


def _parts(value: Value) -> Sequence[Value]:
    """Lists and objects right inside a value."""
    inner = [part for _, part in value.content] if value.kind == "object" else value.content
    return [part for part in inner if part.kind in ("list", "object")]


def _is_empty(value: Value) -> bool:
    """Whether a value says that there are no entities: an empty list, also inside an object."""
    if value.kind == "list":
        return value.whole and not value.content
    return any(_is_empty(part) for part in _parts(value))


def _is_json_list(answer: str) -> bool:
    try:
        return isinstance(json.loads(answer.strip()), list)
    except (ValueError, RecursionError):  # not JSON, a number too long for Python, too deep
        return False
