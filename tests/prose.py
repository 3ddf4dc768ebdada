r"""Finds unchecked statements about results in a text: numbers, comparisons and verdicts outside of
``\claim``.

A sentence that states a result is written in ``\claim{condition}{text}``, a number as ``\result{key}``. The
rest must contain no digit, no number in words, no comparison and no verdict. Text about methods, or about how
to read a table, is written in ``\method{text}`` or in an environment ``reading``: it may compare, but
contains neither a claim nor a result, and names no system as the winner. A claim that rules a difference out
must use the margin of the protocol.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*")
# Commands whose arguments are not prose, with their number of arguments.
_NAMES = dict.fromkeys(("label", "inputtable", "includeresultfigure", "input", "path", "code", "texttt"), 1)
_NAMES |= {"begin": 1, "end": 1, "includeresultfigure": 2, "elsewhere": 1, "ifdemonstration": 0}
_NAMES |= {"ifresult": 2, "ifresultdefined": 1, "ifresultblank": 1, "ifgenerated": 1, "InputIfFileExists": 1}
_NAMES |= {"inputlongtable": 1, "hspace": 1, "vspace": 1, "addchap": 0, "lead": 1, "deflead": 1}
_REFERENCES = ("cref", "Cref", "ref", "textcite", "parencite", "autocite", "cite")

_ORDINALS = "third|quarter|fifth|sixth|seventh|eighth|ninth|tenth|hundredth|thousandth"
NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|sixty"
    r"|seventy|eighty|ninety|dozens?|hundreds?|thousands?|millions?|billions?|once|twice|thrice|half|halves"
    r"|zero(?!-shot)|doubles?d?|triples?d?|percent|per cent|\w+fold|\w+teen|two thirds"
    rf"|an? (?:{_ORDINALS}))\b",
    re.IGNORECASE,
)
COMPARISON = re.compile(
    r"\b(?:more|less|fewer|better|worse|higher|lower|larger|smaller|bigger|greater|longer|shorter|faster|slower"
    r"|sooner|later|earlier|cheaper|dearer|surer|stronger|weaker|closer|harder|easier|richer|poorer|nearer"
    r"|\w+er than|as \w+ as|equals?|equally|same|alike|identical|no difference|differs?|ahead|behind"
    r"|superior|inferior|majority|wins?|beats?|outperforms?|exceeds?|surpass(?:es)?|gains?|improves?d?"
    r"|above|below|most|least|best|worst"
    r"|(?!(?:test|rest|interest|request|suggest|honest|west|modest|latest|contest|protest|guest)\b)\w{2,}est"
    r"|nearly|hardly|mostly)\b",
    re.IGNORECASE,
)
VERDICT = re.compile(
    r"\b(?:significan\w+|shows?|shown|showed|proves?d?|proofs?|rules? out|ruled out|confirms?|confirmed"
    r"|equivalent|negligible"
    r"|refutes?d?|demonstrates?d?|chance|told (?:apart|from)|nothing|none|never|doubt)\b",
    re.IGNORECASE,
)
# A winner, or a test's outcome: where numbers and comparisons are allowed, these are not.
_SYSTEM = (
    r"(?:encoder|tagger|decoder|generator|LLM|ensemble|approach|system|(?:generative|language) model)(?:e?s)?"
)
OUTCOME = re.compile(
    rf"\b{_SYSTEM} (?:\w+ly )?(?:beats?|wins?|outperforms?"
    r"|(?:is|are|was|were|does|did|scores?|scored) (?:(?:much|far|\w+ly) )?"
    r"(?:better|worse|ahead|behind|faster|slower|cheaper|higher|lower))\b"
    r"|\b(?:is|are|was|were)(?: not)? statistically significant\b",
    re.IGNORECASE,
)
RULED_OUT = re.compile(r"\b(?:rul(?:es?|ed) out|equivalent|negligible|equally good)\b", re.IGNORECASE)
# Phrases that state no result: *one at a time* is no number, and *the table shows* no verdict.
IDIOM = re.compile(
    r"\b(?:one another|one at a time|one after the other|no one|more or less|at least one of)\b"
    r"|(?:REF(?:, | and )?)+ (?:\w+ )?shows?\b|demonstration",
    re.IGNORECASE,
)


class Unchecked(NamedTuple):
    """A sentence with an unchecked statement, and the first word of it that should be checked."""

    file: str
    line: int
    word: str
    sentence: str


def unchecked(path: Path, kinds: Sequence[re.Pattern] = (NUMBER, COMPARISON, VERDICT)) -> list[Unchecked]:
    """The unchecked statements of a LaTeX file; of the author's file, those of the abstract."""
    text = path.read_text(encoding="utf-8")
    if (at := text.find(abstract := r"\newcommand\theabstract")) >= 0:
        _, end = _argument(text, at + len(abstract))
        text = re.sub(r"[^\n]", " ", text[: at + len(abstract)]) + text[at + len(abstract) : end]
    return find(text, path.name, kinds)


def find(
    text: str, name: str, kinds: Sequence[re.Pattern] = (NUMBER, COMPARISON, VERDICT)
) -> list[Unchecked]:
    """The unchecked statements of a text from the file ``name``."""
    text = "\n".join(_COMMENT.sub(r"\1", line) for line in text.split("\n"))
    prose, places = _prose(text)
    statements = []
    for match in re.finditer(r"(?:(?![.?!:;][\"'})\]]*(?:\s|$)|\n\s*\n).)+", prose, re.DOTALL):
        sentence = IDIOM.sub(lambda hit: " " * len(hit[0]), match[0])
        for kind in kinds:
            if hit := kind.search(sentence):
                line = text.count("\n", 0, places[match.start() + hit.start()]) + 1
                statements.append(Unchecked(name, line, hit[0], " ".join(match[0].split())))
                break
    return statements


def _prose(text: str) -> tuple[str, list[int]]:
    """The text without commands and claims, and the position of each of its characters in ``text``."""
    prose: list[str] = []
    places: list[int] = []

    def put(words: str, at: int) -> None:
        prose.append(words)
        places.extend([at] * len(words))

    at = 0
    while at < len(text):
        command = re.compile(r"\\([A-Za-z]+)\*?|\\.|[{}~]", re.DOTALL).match(text, at)
        if not command:
            put(text[at], at)
            at += 1
            continue
        name, start, at = command[1], at, command.end()
        if name == "claim":
            condition, at = _argument(text, at)
            statement, at = _argument(text, at)
            # Only with a declared margin can a difference be called too small to matter.
            without_margin = RULED_OUT.search(statement) and "margin" not in condition
            put(f"CHECKED ({statement})" if without_margin else "CHECKED", start)
        elif name == "method":
            inner, at = _argument(text, at)
            _refuse_results(inner)
        elif name == "begin" and text.startswith("{reading}", at):
            end = text.index(r"\end{reading}", at)
            _refuse_results(text[at:end])
            at = end
        elif name == "result":
            _, at = _argument(text, at)
            put("RESULT", start)
        elif name in _REFERENCES:
            _, at = _argument(text, at)
            put("REF", start)
        elif name in _NAMES:
            for _ in range(_NAMES[name]):
                _, at = _argument(text, at)
        elif name in ("Fone", "item"):
            put(" F ", start)
        elif name in ("paragraph", "section", "chapter", "caption", "par"):
            put("\n\n", start)  # its argument is a separate sentence
            if name != "par":
                inner, end = _argument(text, at)
                words, where = _prose(inner)
                begin = text.index("{", at) + 1
                prose.append(words + "\n\n")
                places.extend([begin + each for each in where] + [end - 1] * 2)
                at = end
        elif name is None:
            put(" ", start)
    return "".join(prose), places


def _refuse_results(method: str) -> None:
    if wrong := re.search(r"\\(?:result|claim)\b.{,60}", method) or OUTCOME.search(" ".join(method.split())):
        raise AssertionError(f"text on method holds a result: {wrong[0]}")


def _argument(text: str, at: int) -> tuple[str, int]:
    """The argument in braces that begins at a position or after white space, without options, and its end."""
    opened = re.compile(r"(?:\s*\[[^\]]*\])*\s*\{").match(text, at)
    if not opened:
        raise AssertionError(f"an argument in braces is missing: {text[at : at + 60]!r}")
    depth, start = 1, opened.end()
    for mark in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        depth += {"{": 1, "}": -1}.get(mark[0], 0)
        if depth == 0:
            return text[start : mark.start()], mark.end()
    raise AssertionError(f"a brace is not closed: {text[at : at + 60]!r}")
