r"""Claims: sentences of the thesis that judge, each bound to a condition over the results.

``\claim{demo.minilm.micro_f1 > demo.smollm2-qlora.micro_f1}{The encoder is better.}`` is typeset
where the condition holds; where it does not, the thesis does not build. Conditions compare result
keys, unrounded, and numbers, with arithmetic, ``and or not``, ``abs``, ``min`` and ``max``.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from ner_utils import paths

_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*")
_CLAIM = re.compile(r"\\claim\s*\{([^{}]*)\}")
_ALPHABET = re.compile(r"""[\w.,<>=!+\-*/()"' ]+""")
_KEY = re.compile(r"[^\W\d][\w.-]*\.[\w.-]*\w")
_FUNCTIONS = {"abs": abs, "min": min, "max": max}
# What a condition may consist of once it is parsed; names and calls are looked at besides.
_NODES = (ast.Constant, ast.Name, ast.Load, ast.Call, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop)
_NODES += (ast.UnaryOp, ast.USub, ast.Not, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div)


class ClaimError(Exception):
    """A predicate that cannot be evaluated; the message names file, line and predicate."""


class UnknownResult(ValueError):
    """A condition that is well formed, and asks for a result that is not among the values."""


class Claim(NamedTuple):
    """A predicate as TeX compares it (white space reduced), and where it stands."""

    file: str
    line: int
    predicate: str


def key(*parts: str) -> str:
    """A result's key; characters that TeX or a claim could trip over become their code points."""
    return ".".join(re.sub(r"[^\w.-]", lambda match: f"-{ord(match[0]):x}-", part) for part in parts)


def scan(path: Path) -> list[Claim]:
    """All claims of a LaTeX file, comments left out."""
    text = "\n".join(_COMMENT.sub(r"\1", line) for line in path.read_text(encoding="utf-8").split("\n"))
    return [
        Claim(paths.relative(path), text.count("\n", 0, match.start()) + 1, " ".join(match[1].split()))
        for match in _CLAIM.finditer(text)
    ]


def check(claims: Iterable[Claim], values: Mapping[str, float | str]) -> dict[str, bool]:
    """Evaluate claims over results. Raises `ClaimError` on an unknown key or another mistake."""
    checked = {}
    for file, line, predicate in claims:
        try:
            checked[predicate] = evaluate(predicate, values)
        except (ValueError, ArithmeticError, TypeError, RecursionError) as error:
            raise ClaimError(f"{file}:{line}: \\claim{{{predicate}}}: {error}") from None
    return checked


def evaluate(predicate: str, values: Mapping[str, float | str]) -> bool:
    """The truth of one predicate over results by key.

    Raises `UnknownResult` where the predicate is well formed and a result that it asks for is missing;
    `ValueError` where it is no condition; `TypeError` or `ArithmeticError` where the values do not allow the
    comparison.
    """
    if not _ALPHABET.fullmatch(predicate):
        raise ValueError("a predicate holds letters, digits and _ . , < > = ! + - * / ( ) \" ' alone")
    # Keys hold dots and dashes, so they are cut out, the longest first, before Python's grammar
    # sees the rest. What then still looks like a key is none of the results.
    keys = sorted((key for key in values if key in predicate), key=len, reverse=True)
    names = {f"result{index}_": values[key] for index, key in enumerate(keys)}
    stand_ins = dict(zip(keys, names, strict=True))
    known = rf"(?<![\w.])(?:{'|'.join(map(re.escape, keys)) or '(?!)'})(?![\w.])"
    text = re.sub(known, lambda match: stand_ins[match[0]], predicate)
    missing = _KEY.findall(text)
    # A predicate is checked whole, before a result that is missing: its other faults are no missing results.
    tree = _parse(_KEY.sub("missing_", text), {*names, *(["missing_"] if missing else [])})
    for key in missing:
        near = " or ".join(difflib.get_close_matches(key, values))
        raise UnknownResult(f"unknown result key {key}" + (f"; is it {near}?" if near else ""))
    # Evaluated is this tree of harmless nodes, never the text.
    return eval(compile(tree, predicate, "eval"), {"__builtins__": {}}, _FUNCTIONS | names)


def _parse(text: str, names: Collection[str]) -> ast.Expression:
    """The tree of a predicate whose keys are ``names``. Raises `ValueError` where it is no condition."""
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
