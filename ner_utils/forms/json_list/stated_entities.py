"""Finds the entities in an answer that should be a JSON list of objects with text and type.

Other notations are read, too: objects with other keys (``Text``, ``label``, ``mention``), pairs
``["Ada", "person"]``, objects that map texts to types or types to texts, and lists inside objects
(``{"entities": [...]}``) or strings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ner_utils.forms.base import Extent, Status, without_thoughts
from ner_utils.forms.json_list.lenient_json import Value, value_at, values

# Keys that models write in place of ours, in any case and punctuation. The first that an object has counts.
_KEYS = {
    "text": ["text", "mention", "surface", "span", "word", "name", "value", "namedentity", "entity"],
    "type": ["type", "label", "category", "class", "tag", "entitytype", "entitygroup", "kind", "entity"],
    "occurrence": ["occurrence"],
}


class Item(NamedTuple):
    """An item of an answer: its values of text, type and occurrence, its place in the answer, and whether it
    has the form that the instruction asks for."""

    fields: dict[str, Any]
    extent: Extent
    has_form: bool = False

    @property
    def is_entity(self) -> bool:
        text, kind = self.fields.get("text"), self.fields.get("type")
        return isinstance(text, str) and isinstance(kind, str) and bool(text.strip())


def find_items(answer: str, known: Callable[[str], Any]) -> tuple[list[Item], Status]:
    """The items of an answer; ``known`` returns whether a word is the name of a type.

    An answer that is a JSON list is read as a whole. In other text, the items are those of the last list that
    contains an entity; without one, of the last such list that the end of the text cuts off; without one, all
    entities outside of lists; without one, those of the last list or object. An object that the end of the
    text cuts off has no items.
    """
    if _is_json_list(answer):
        reader = _Reader(answer, known)
        items = reader.items(value_at(answer, answer.index("["), len(answer), set()))
        return items, "ok" if all(item.has_form for item in items) else "recovered"
    for text in reversed(without_thoughts(answer)):
        items = _stated(text, _Reader(text, known))
        if items is not None:
            return items, "recovered"
    return [], "failed"


def _stated(text: str, reader: _Reader) -> list[Item] | None:
    """The items of an answer that is no JSON list; None if it has no list or object."""
    lists: dict[bool, list[Item]] = {}  # the last whole list and the last one that is cut off
    lone: list[Item] = []
    last: list[Item] | None = None
    for root in values(text):
        outermost = list(reader.outermost(root))
        for value, items in outermost:
            if reader.is_lone(value):
                lone += items
            else:
                lists[value.whole] = items
        if not outermost:
            items = reader.items(root)
            lone += items if root.kind == "object" else []
            last = items if items or _is_empty(root) else last
    if lists:
        return lists.get(True) or lists[False]
    return lone if any(item.is_entity for item in lone) else last


class _Reader:
    """Converts the JSON values of one answer to items."""

    def __init__(self, text: str, known: Callable[[str], Any]) -> None:
        self.text, self.known = text, known

    def outermost(self, value: Value) -> Iterator[tuple[Value, list[Item]]]:
        """The outermost values that contain entities, with their items."""
        items = self.items(value)
        if any(item.is_entity for item in items):
            yield value, items
        else:
            for part in _nested(value):
                yield from self.outermost(part)

    def items(self, value: Value, kind: str | None = None) -> list[Item]:
        """The items of a list or object. ``kind`` is the name of a type, if one is the key of the value."""
        if value.kind == "object":
            return self._of_object(value, kind)
        if value.kind != "list":
            return []
        return self._pair(value) if self.is_lone(value) else self._of_list(value, kind)

    def is_lone(self, value: Value) -> bool:
        """Whether a value is one entity and not a list of entities."""
        if value.kind == "object":
            return {"text", "type"} <= set(_fields(value)[0])
        return any(self.known(item.fields["type"]) for item in self._pair(value))

    def _of_list(self, value: Value, kind: str | None) -> list[Item]:
        items: list[Item] = []
        nested = all(each.kind == "list" for each in value.parts)
        for each in value.parts:
            stated: list[Item] = []
            if each.kind == "object":
                stated = self._of_object(each, kind)
            elif each.kind == "list":
                stated = self._pair(each)
                if nested and not stated:
                    stated = [item._replace(has_form=False) for item in self._of_list(each, kind)]
            elif each.kind == "text" and kind:
                stated = [Item({"text": each.content, "type": kind}, (each.begin, each.end))]
            if any(item.is_entity for item in stated):
                items += stated
            elif each.whole:
                items.append(Item({}, (each.begin, each.end), has_form=True))
        return items

    def _pair(self, value: Value) -> list[Item]:
        """The entity of a list ``[text, type]`` or ``[text, type, occurrence]``."""
        kinds = [each.kind for each in value.parts] if value.kind == "list" else []
        if kinds not in (["text", "text"], ["text", "text", "other"]) or not value.whole:
            return []
        contents = [each.content for each in value.parts]
        # Two strings with an unknown type can be two texts, so they are not another notation.
        has_form = not self.known(contents[1])
        return [Item(dict(zip(_KEYS, contents, strict=False)), (value.begin, value.end), has_form)]

    def _of_object(self, value: Value, kind: str | None) -> list[Item]:
        fields, has_form = _fields(value)
        alone = [Item(fields, (value.begin, value.end), has_form)] if value.whole else []
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
                group = part._replace(kind="list", content=[(None, part)]) if part.kind == "text" else part
                items += self.items(group, key)
        else:
            for part in value.parts:
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
    """The values of an object's text, type and occurrence, and whether it has our keys. A list or object
    under another key is no value."""
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


def _nested(value: Value) -> list[Value]:
    """The lists and objects directly inside a value."""
    return [part for part in value.parts if part.kind in ("list", "object")]


def _is_empty(value: Value) -> bool:
    """Whether a value states that there are no entities: an empty list, or an object with one."""
    if value.kind == "list":
        return value.whole and not value.content
    return any(map(_is_empty, _nested(value)))


def _is_json_list(answer: str) -> bool:
    try:
        return isinstance(json.loads(answer.strip()), list)
    except (ValueError, RecursionError):  # not JSON, a number too long for Python, too deep
        return False
