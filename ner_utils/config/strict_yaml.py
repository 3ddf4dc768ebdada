"""Reads YAML text into strict sections.

Whatever is wrong raises a `ConfigError`, which names the file, the key, and what was expected.
"""

from __future__ import annotations

import copy
import datetime
import functools
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ner_utils import messages, paths

# Keys of older files, with their names now.
RENAMED = {"looks": "dev_evaluations", "beside": "companions", "says": "statement", "ends": "limits"}
MAX_VALUES = 20_000  # of a file, with aliases written out; the project's own files have a few hundred
MAX_DEPTH = 40  # of lists and mappings inside each other
MAX_PROBLEMS = 6  # of a file, in one message
# These must not reach tables, prompts or terminals: control characters (but tab and line feed) and lone
# surrogates.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class ConfigError(Exception):
    """A configuration that cannot be used; the message names file, key and expectation, in a few lines."""

    def __init__(self, message: str) -> None:
        super().__init__(messages.few_lines(message))


class Strict(BaseModel):
    """Base of all sections: unknown keys and silent conversions are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def value_of(section: Strict, key: str) -> Any:
    """A section's value of a dotted key."""
    value: Any = section
    for part in key.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


# ------------------------------------------------------------------------------- YAML
class _Loader(yaml.SafeLoader):
    """Raises `yaml.YAMLError` where PyYAML does not: if a key occurs twice (PyYAML keeps the last one), if
    aliases grow too large, and at values that Python cannot convert, control characters and numbers of more
    than 64 bits."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise _error(f"key {messages.brief(key.value)} occurs twice", key)
                seen.add((key.tag, key.value))
        return node

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            _measure(node, 0, {})
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            what = messages.brief(node.value) if isinstance(node, yaml.ScalarNode) else "this"
            kind = messages.shortened(node.tag.removeprefix("tag:yaml.org,2002:"), 40)
            raise _error(f"{what} is no {kind}", node) from None
        if isinstance(value, int) and abs(value) >= 2**63:
            raise _error("a number of too many digits", node)
        if isinstance(value, str) and (found := _CONTROL.search(value)):
            raise _error(f"a control character, U+{ord(found[0]):04X}, in a text", node)
        return value


def _error(problem: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _measure(node: yaml.Node, above: int, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Number and depth of a node's values, with aliases written out. Raises if there are too many."""
    if id(node) in known:
        if known[id(node)] is None:
            raise _error("an alias inside of what it stands for", node)
        return known[id(node)]
    known[id(node)] = None
    number, depth = 1, 0
    for entry in node.value if isinstance(node, yaml.CollectionNode) else ():
        for part in entry if isinstance(entry, tuple) else (entry,):
            inside = _measure(part, above + 1, known) if above < MAX_DEPTH else (0, MAX_DEPTH)
            number, depth = number + inside[0], max(depth, inside[1] + 1)
    if number > MAX_VALUES or depth > MAX_DEPTH:
        raise _error(
            f"more than {MAX_VALUES:,} values (aliases written out), or {MAX_DEPTH} inside each other", node
        )
    known[id(node)] = number, depth
    return number, depth


def read_yaml(text: str, where: str) -> Any:
    """Parse YAML safely; ``where`` names the source in the error."""
    try:
        return copy.deepcopy(_parsed(text))
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{where}: not valid YAML: lists or mappings too deep inside each other") from None


@functools.lru_cache(maxsize=1000)  # every run of a study needs the same files
def _parsed(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)


def read_yaml_file(path: Path) -> Any:
    """Parse a YAML file."""
    where = paths.relative(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{where}:{line}: not UTF-8 (byte 0x{error.object[error.start]:02X}); save the file as UTF-8"
        ) from None
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read ({error.strerror})") from None
    return read_yaml(text, where)


# --------------------------------------------------------------------------- sections
def read_list(path: Path, kind: type[Strict]) -> list[Any]:
    """The sections in a file that lists them."""
    return _validated(list[kind], read_yaml_file(path), paths.relative(path))


def check(section: Any, values: Any, where: str) -> Any:
    """Values as a section, or as one of a union of sections; ``where`` names their source in the error."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected a mapping of keys, found {type(values).__name__}")
    return _validated(section, values, where)


def _validated(kind: Any, values: Any, where: str) -> Any:
    try:
        return _adapter(kind).validate_python(values, strict=True)
    except ValidationError as error:
        problems = [_explain(problem, where) for problem in error.errors()]
    more = len(problems) - MAX_PROBLEMS
    last = [f"{where}: and {more} more problems"] if more > 0 else []
    raise ConfigError("\n".join(problems[:MAX_PROBLEMS] + last))


# By the approach of a model, pydantic chooses its class.
APPROACHES = (("tagging",), ("gliner",), ("generation",), ("endpoint",))
_adapter = functools.cache(TypeAdapter)  # building one takes longer than using it


def _explain(problem: dict, where: str) -> str:
    """One of pydantic's errors in a line: where, which key, what was expected."""
    # pydantic begins the location with the branch of a union, although the file has no such key.
    place = problem["loc"][problem["loc"][:1] in APPROACHES :]
    key = ".".join(map(str, place))
    text, value = problem["msg"].removeprefix("Value error, "), problem["input"]
    if problem["type"] == "extra_forbidden":
        text = unknown_key(key)
    elif problem["type"] != "missing" and not isinstance(value, dict):
        text += f", found {messages.brief(value)}{_hint(problem['type'], value)}"
    return f"{where}: {messages.shortened(key, 120) or 'file'}: {text}"


def unknown_key(key: str) -> str:
    """What a message says of a dotted key that no section has."""
    name = RENAMED.get(key.rpartition(".")[2])
    return f"unknown key, now called {name}" if name else "unknown key"


def _hint(expected: str, value: Any) -> str:
    """Why YAML may have read another kind of value than the user meant."""
    if isinstance(value, str) and expected in ("float_type", "int_type"):
        return " (a string: YAML reads 5e-5 as text, write 5.0e-5)"
    if expected == "string_type":
        for kind, name in ((bool, "a truth value"), (int | float, "a number"), (datetime.date, "a date")):
            if isinstance(value, kind):
                return f" (YAML reads it as {name}: put it in quotes)"
    return ""
