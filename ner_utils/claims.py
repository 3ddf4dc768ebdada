r"""Claims: sentences of the thesis that judge, each bound to a condition over the results.

``\claim{demo.minilm.micro_f1 > demo.smollm2-qlora.micro_f1}{The encoder is better.}`` is typeset
where the condition holds; where it does not, the thesis does not build. Conditions compare result
keys and numbers, unrounded, with ``< <= > >= == !=``, ``+ - * /``, ``and or not`` and the functions
``abs``, ``min`` and ``max``.
"""

from __future__ import annotations

import ast
import difflib
import operator
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from ner_utils import paths

_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*")
_CLAIM = re.compile(r"\\claim\s*\{([^{}]*)\}")
_ALLOWED = re.compile(r"""[\w.,<>=!+\-*/()"' ]+""")
_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_FUNCTIONS = {"abs": abs, "min": min, "max": max}


class ClaimError(Exception):
    """A predicate that cannot be evaluated; the message names file, line and predicate."""


class Claim(NamedTuple):
    """A predicate as TeX compares it (white space reduced), and where it stands."""

    file: str
    line: int
    predicate: str


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
    for claim in claims:
        try:
            checked[claim.predicate] = evaluate(claim.predicate, values)
        except (ValueError, ArithmeticError, TypeError, RecursionError) as error:
            reason = str(error) or type(error).__name__
            raise ClaimError(f"{claim.file}:{claim.line}: \\claim{{{claim.predicate}}}: {reason}") from None
    return checked


def evaluate(predicate: str, values: Mapping[str, float | str]) -> bool:
    """The truth of one predicate. Raises `ValueError`, `TypeError` or `ArithmeticError`."""
    if not _ALLOWED.fullmatch(predicate):
        raise ValueError("a predicate holds letters, digits, keys and _ . , < > = ! + - * / ( ) \" ' alone")
    # Keys hold dots and dashes, so they are cut out, the longest first, before Python's grammar
    # sees the rest; what then still is a name is none of the results.
    keys = sorted(values, key=len, reverse=True)
    names: dict[str, float | str] = {}

    def stand_in(match: re.Match) -> str:
        names[name := f"key{len(names)}_"] = values[match[0]]
        return name

    text = predicate
    if keys:
        pattern = rf"(?<![\w.])(?:{'|'.join(map(re.escape, keys))})(?![\w.])"
        text = re.sub(pattern, stand_in, predicate)
    for unknown in re.findall(r"[^\W\d][\w.-]*\.[\w.-]*\w", text):
        near = difflib.get_close_matches(unknown, keys, 3, 0.6)
        raise ValueError(f"unknown result key {unknown}" + (f"; is it {' or '.join(near)}?" if near else ""))
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError as error:
        raise ValueError(f"not a condition ({error.msg})") from None
    truth = _value(tree.body, names)
    if not isinstance(truth, bool):
        raise ValueError("not a condition: it compares nothing")
    return truth


def _value(node: ast.AST, names: Mapping[str, float | str]):
    """Evaluate the few kinds of nodes that a condition needs, and no other."""
    match node:
        case ast.Constant(value=int() | float() | str()) if not isinstance(node.value, bool):
            return node.value
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_number(_value(left, names)), _number(_value(right, names)))
        case ast.UnaryOp(op, operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(operand, names))
        case ast.BoolOp(op, parts):
            truths = [_value(part, names) for part in parts]
            if not all(isinstance(truth, bool) for truth in truths):
                raise ValueError("and, or join conditions")
            return all(truths) if isinstance(op, ast.And) else any(truths)
        case ast.Compare(left, ops, rights) if all(type(op) in _OPERATORS for op in ops):
            sides = [_value(side, names) for side in (left, *rights)]
            pairs = zip(ops, sides, sides[1:], strict=False)
            return all(_OPERATORS[type(op)](a, b) for op, a, b in pairs)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*(_number(_value(part, names)) for part in args))
    shown = ast.unparse(node)
    for name, value in names.items():
        shown = shown.replace(name, str(value))
    raise ValueError(f"{shown!r} is neither a result key nor allowed here")


def _number(value) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value
