"""YAML text in, strict sections out, or a `ConfigError` that says where, which key, and what was expected."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from ner_utils import paths
from ner_utils.schema import Strict


class ConfigError(Exception):
    """A configuration that cannot be used; the message names file, key and expectation."""


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys without a word; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def read_yaml(text: str, where: str) -> Any:
    """Parse YAML safely; ``where`` names the source in the error."""
    try:
        return copy.deepcopy(_parsed(text))
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {error}") from None


@functools.lru_cache(maxsize=1000)  # every run of a study asks for the same files
def _parsed(text: str) -> Any:
    return yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 (a SafeLoader)


def read_list(path: Path, kind: type[Strict]) -> list[Any]:
    """The sections in a file that lists them."""
    where = paths.relative(path)
    return _validated(list[kind], read_yaml(path.read_text(encoding="utf-8"), where), where)


def check(section: Any, values: Any, where: str) -> Any:
    """Values as a section, or as one of a union of sections; ``where`` names their source in the error."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected a mapping of keys, found {type(values).__name__}")
    return _validated(section, values, where)


def _validated(kind: Any, values: Any, where: str) -> Any:
    try:
        return _adapter(kind).validate_python(values, strict=True)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(problem, where) for problem in error.errors())) from None


_adapter = functools.cache(TypeAdapter)  # to build one takes longer than to use it


def _explain(problem: dict, where: str) -> str:
    """One of pydantic's errors in a line: where, which key, what was expected."""
    # A union's branch stands in the location as a tag that is no key of the file.
    key = ".".join(str(part) for part in problem["loc"] if part not in ("tagging", "generation"))
    text = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        text = "unknown key"
    elif problem["type"] != "missing" and not isinstance(problem["input"], dict):
        text += f", found {problem['input']!r}"
        if isinstance(problem["input"], str) and problem["type"] in ("float_type", "int_type"):
            text += " (a string: YAML reads 5e-5 as text, write 5.0e-5)"
    return f"{where}: {key or 'file'}: {text}"
