r"""Conditions over results, and the claims of the thesis that depend on them.

``\claim{demo.minilm.micro_f1 > demo.smollm2-qlora.micro_f1}{The encoder is better.}`` is typeset if the
condition holds; if not, the thesis does not build. Conditions compare result keys, unrounded, and numbers,
with arithmetic, ``and or not``, ``abs``, ``min`` and ``max``. ``params/claims.yaml`` and
``params/guide.yaml`` use the same language.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ner_utils import paths

_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*")
_CLAIM = re.compile(r"\\claim\s*\{([^{}]*)\}")
_ALPHABET = re.compile(r"""[\w.,<>=!+\-*/()"' ]+""")
_KEY = re.compile(r"[^\W\d][\w.-]*\.[\w.-]*\w")
_FUNCTIONS = {"abs": abs, "min": min, "max": max}
# What a parsed condition may contain; names and calls are restricted further.
_NODES = (ast.Constant, ast.Name, ast.Load, ast.Call, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop)
_NODES += (ast.UnaryOp, ast.USub, ast.Not, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div)


class ClaimError(Exception):
    """A claim that cannot be evaluated; the message names file, line and condition."""


class UnknownResult(ValueError):
    """A well-formed condition over a result that does not exist."""


class Claim(NamedTuple):
    """A condition as TeX compares it (white space reduced), with its file and line."""

    file: str
    line: int
    condition: str


def key(*parts: str) -> str:
    """A result's key; characters that TeX or a condition would misread become their code points."""
    return ".".join(re.sub(r"[^\w.-]", lambda match: f"-{ord(match[0]):x}-", part) for part in parts)


def compared(pair: Mapping[str, Any], *parts: str) -> str:
    """A key of a comparison, given by a row of `Results.comparisons`."""
    return key(pair["dataset"], f"{pair['a']}-vs-{pair['b']}", *parts)


def result(name: str, ends: str = "") -> str:
    r"""A ``\result``, with its interval in brackets, whose ``ends`` are keys with .low and .high."""
    low_high = rf" (\result{{{ends}.low}} to \result{{{ends}.high}})" if ends else ""
    return rf"\result{{{name}}}{low_high}"


def claim(predicate: str, text: str) -> str:
    r"""A ``\claim``."""
    return rf"\claim{{{predicate}}}{{{text}}}"


def scan(path: Path) -> list[Claim]:
    """All claims of a LaTeX file outside of comments."""
    text = "\n".join(_COMMENT.sub(r"\1", line) for line in path.read_text(encoding="utf-8").split("\n"))
    return [
        Claim(paths.relative(path), text.count("\n", 0, match.start()) + 1, " ".join(match[1].split()))
        for match in _CLAIM.finditer(text)
    ]


def check(claims: Iterable[Claim], values: Mapping[str, float | str]) -> dict[str, bool]:
    """Evaluate claims over results by key. Raises `ClaimError` on an unknown key or another mistake."""
    checked = {}
    for file, line, condition in claims:
        try:
            checked[condition] = evaluate(condition, values)
        except (ValueError, ArithmeticError, TypeError, RecursionError) as error:
            raise ClaimError(f"{file}:{line}: \\claim{{{condition}}}: {error}") from None
    return checked


def evaluate(condition: str, values: Mapping[str, float | str]) -> bool:
    """The truth of one condition over results by key.

    Raises `UnknownResult` if the condition is well formed and a result is missing; `ValueError` if it is no
    condition; `TypeError` or `ArithmeticError` if the values cannot be compared in this way.
    """
    if not _ALPHABET.fullmatch(condition):
        raise ValueError("a condition contains only letters, digits and _ . , < > = ! + - * / ( ) \" '")
    # Keys contain dots and dashes, so they are replaced, the longest first, before Python's parser
    # reads the rest. A key that is still there then is not among the results.
    keys = sorted((key for key in values if key in condition), key=len, reverse=True)
    names = {f"result{index}_": values[key] for index, key in enumerate(keys)}
    stand_ins = dict(zip(keys, names, strict=True))
    known = rf"(?<![\w.])(?:{'|'.join(map(re.escape, keys)) or '(?!)'})(?![\w.])"
    text = re.sub(known, lambda match: stand_ins[match[0]], condition)
    missing = _KEY.findall(text)
    # The whole condition is checked before a missing result is reported, so that other mistakes come first.
    tree = _parse(_KEY.sub("missing_", text), {*names, *(["missing_"] if missing else [])})
    for key in missing:
        near = " or ".join(difflib.get_close_matches(key, values))
        raise UnknownResult(f"unknown result key {key}" + (f"; is it {near}?" if near else ""))
    # Only this tree of harmless nodes is evaluated, never the text.
    return eval(compile(tree, condition, "eval"), {"__builtins__": {}}, _FUNCTIONS | names)


def holds(condition: str, values: Mapping[str, float | str]) -> bool | None:
    """As `evaluate`, but None if a result is missing."""
    try:
        return evaluate(condition, values)
    except UnknownResult:
        return None


def keys_of(condition: str) -> list[str]:
    """The keys that a condition compares. Raises `ValueError` if it is none, whatever the results are."""
    try:
        holds(condition, {})
    except (TypeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"not a condition ({error})") from None
    return _KEY.findall(condition)


def _parse(text: str, names: Collection[str]) -> ast.Expression:
    """The tree of a condition whose keys are ``names``. Raises `ValueError` if it is no condition."""
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError as error:
        raise ValueError(f"not a condition ({error.msg})") from None
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for node in ast.walk(tree.body):
        here = _FUNCTIONS if node in called else names
        if not isinstance(node, _NODES) or isinstance(node, ast.Name) and node.id not in here:
            raise ValueError(f"{ast.unparse(node)!r} is neither a result key nor allowed here")
    if not _is_condition(tree.body):
        raise ValueError("not a condition: it compares nothing")
    return tree


def _is_condition(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        return all(map(_is_condition, node.values))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _is_condition(node.operand)
    return isinstance(node, ast.Compare)
