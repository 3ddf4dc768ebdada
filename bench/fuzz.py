"""Random damage for what reads text: ``python bench/fuzz.py answers|readers|yaml SECONDS [SEED]``.

Each fuzzer makes inputs of a kind from a number and says what is wrong with how one is read:

- answers: any exception; a failed answer with spans or counted items; spans that overlap or lie outside.
- readers: any exception but `DataError`, for every format of corpora.
- yaml: any exception but `ConfigError`, in files of params and in overrides.

Everywhere: a message of more than 1,000 characters, and reading that takes longer than ten seconds. Prints
each new problem once with the number that makes it again, and ends with 1 where there are some. The tests run
the same for a few hundred numbers.
"""

from __future__ import annotations

import json
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ner_utils import config, data, paths
from ner_utils.config.dataset import Dataset
from ner_utils.config.schema import Model
from ner_utils.config.strict_yaml import ConfigError, check, read_yaml
from ner_utils.data.corpus import DataError, Sentence
from ner_utils.data.formats import registry
from ner_utils.data.spans import Span, tags_from_spans
from ner_utils.forms.registry import FORMS

LONGEST_MESSAGE = 1000  # characters: a few lines
LONGEST_READING = 10  # seconds
TYPES = {"PER": "person", "LOC": "location", "WORK": "creative work"}
WORDS = ["Ada", "Lovelace", "O'Brien", "São", "Cafe\u0301", "iPhone\u200b", "護", "B-person"]
WORDS += ["[1]", '"', ":", "|", "\\", "-"]
NOISE = [
    *"[]{}()\"'\\|:,.-_#&*!%@`~<>/=",
    "\n",
    "\r\n",
    "\t",
    " ",
    "\u00a0",
    "\u200b",
    "\u2028",
    "\x00",
    "\x1b",
]
NOISE += [
    "“",
    "’",
    "［",
    "：",
    "\ufeff",
    "\ud800",
    "\\ud800",
    "👩",
    "e\u0301",
    "1",
    "-1",
    "9" * 5000,
    "null",
    "None",
]
NOISE += ["<think>", "</think>", "```", "[]", "{}", "[{", "}]", ",}", "...", "person", "B-person", "I-", "O"]
NOISE += ["[" * 3000, "9" * 5000, "null", "None", "\x00", "\x1b"]


def damaged(chance: random.Random, text: str, noise: list[str] = NOISE) -> str:
    """A text with up to six random changes: pieces put in, cut out, doubled or moved."""
    for _ in range(chance.randrange(7)):
        begin = chance.randrange(len(text) + 1)
        end = min(len(text), begin + chance.choice([0, 0, 1, 1, 2, 5, 40]))
        piece = chance.choice([chance.choice(noise), "", text[begin:end] * 2, text[:end]])
        text = text[:begin] + piece + text[end:]
    return text


@contextmanager
def in_time() -> Iterator[None]:
    """Raise TimeoutError where the work takes too long."""

    def ring(*_) -> None:
        raise TimeoutError(f"still reading after {LONGEST_READING} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(LONGEST_READING)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def problem(read: Callable[[], str | None], refusal: type[Exception] | tuple[()] = ()) -> str | None:
    """What is wrong with a reading: ``read`` may say so itself, or raise; ``refusal`` alone is in order."""
    try:
        with in_time():
            return read()
    except refusal as error:
        size = len(str(error))
        return f"{type(error).__name__} of {size} characters" if size > LONGEST_MESSAGE else None
    except Exception as error:  # whatever it is, it is the finding
        return f"{type(error).__name__}: {str(error)[:120]!r}"


# -------------------------------------------------------------------------------- answers
def answers(seed: int, folder: Path) -> str | None:
    """Damage to targets of all forms."""
    chance = random.Random(f"answers {seed}")
    name = chance.choice(list(FORMS))
    tokens = tuple(chance.choices(WORDS, k=chance.randrange(1, 12)))
    cuts = sorted(chance.sample(range(len(tokens) + 1), min(len(tokens) + 1, 2 * chance.randrange(4))))
    places = zip(cuts[::2], cuts[1::2], strict=False)
    spans = tuple(Span(*place, chance.choice(list(TYPES))) for place in places)
    form = FORMS[name](TYPES)
    answer = damaged(chance, form.target(Sentence("", None, tokens, spans)))

    def read() -> str | None:
        reading = form.read(answer, tokens)
        tags_from_spans(reading.spans, len(tokens))  # raises where they overlap or lie outside
        if reading.status == "failed" and (reading.spans or any(reading.dropped.values())):
            return f"{name}: a failed answer states {reading.spans} and {reading.dropped}"
        if len(reading.extents) != len(reading.spans):
            return f"{name}: {len(reading.extents)} extents of {len(reading.spans)} spans"
        if any(not 0 <= begin < end <= len(answer) for begin, end in reading.extents):
            return f"{name}: extents {reading.extents} in {len(answer)} characters"
        return None

    return problem(read)


# -------------------------------------------------------------------------------- readers
_TAGGED = "Ada\tB-PER\nLovelace\tI-PER\nmet\tO\n\nin\tO\nSão\tB-LOC\nPaulo\tI-LOC\n\n"
_DOCUMENTS = "1|t|Ada met Bo\n1|a|In São Paulo. Later on.\n1\t0\t3\tAda\tPER\n1\t14\t23\tSão Paulo\tLOC\n\n"
CORPORA = {
    "conll": ({}, [_TAGGED]),
    "conll with spaces": ({"format": "conll", "separator": "space"}, [_TAGGED.replace("\t", " ")]),
    "conll of four columns": (
        {
            "format": "conll",
            "columns": ["token", "pos", "where", "tag"],
            "domain": "where",
            "scheme": "bioes",
        },
        ["-DOCSTART-\tX\tX\tO\n\nAda\tN\tweb\tS-PER\nmet\tV\tweb\tO\n\n"],
    ),
    "jsonl": (
        {},
        [json.dumps({"id": "a", "tokens": ["Ada", "met"], "ner_tags": ["B-PER", "O"]}) + "\n"],
    ),
    "pubtator": ({"overlaps": "longest"}, [_DOCUMENTS, _DOCUMENTS.replace("1|", "2|").replace("1\t", "2\t")]),
    "biocreative": ({}, ["1\tAda met Bo\tIn Rome.\n", "1\t1\tPER\t0\t3\tAda\n"]),
}


def _dataset(name: str, options: dict) -> Dataset:
    kind = options.get("format", name)
    split = {"file": "corpus"} | ({"annotations": {"file": "annotations"}} if kind == "biocreative" else {})
    words = {kind: word for kind, word in TYPES.items() if kind != "WORK"}
    section = {"label": "x", "description": "x", "licence": "x", "language": "en", "format": kind}
    section |= {"types": words, "splits": dict.fromkeys(data.SPLITS, split)} | options
    return check(Dataset, section, "the fuzzer's corpus")


def corpora(seed: int, folder: Path) -> str | None:
    """Damage to small files of every format, in characters and in bytes."""
    chance = random.Random(f"readers {seed}")
    name = chance.choice(list(CORPORA))
    options, parts = CORPORA[name]
    dataset = _dataset(name, options)
    files = [folder / "corpus"]
    if dataset.format == "biocreative":
        files.append(folder / "annotations")
    else:
        parts = ["".join(parts)]
    for file, text in zip(files, parts, strict=True):
        raw = damaged(chance, text * chance.choice([1, 1, 3])).encode("utf-8", "surrogatepass")
        if raw and chance.random() < 0.2:
            at = chance.randrange(len(raw))
            raw = raw[:at] + chance.randbytes(chance.randrange(1, 4)) + raw[at + 1 :]
        file.write_bytes(raw)

    def read() -> str | None:
        for sentence in registry.read(dataset, *files):
            tags_from_spans(sentence.spans, len(sentence.tokens))
            sentence.text.encode()  # a text that cannot be encoded would end a run after its training
        return None

    found = problem(read, DataError)
    return found and f"{name}: {found}"


# ----------------------------------------------------------------------------------- yaml
_YAML = ["&a ", "*a", "<<: *a\n", "a: &x [*x]\n", "!!int 'x'", "!!bool x", "!!timestamp 9"]
_YAML += [
    "!!python/name:os.system ''",
    "!!set {a}",
    "? ",
    "- ",
    "|\n",
    ">\n",
    "{a: 1",
    "[" * 5000,
    "%YAML 9\n",
]
_YAML += [
    "---\n",
    ".inf",
    "0x",
    "1_0",
    "2024-99-99",
    "a: 1\na: 1\n",
    "? [1, 2]\n: 3\n",
    "1e9999",
    "\x85",
    "~",
]
_BOMB = "\n".join(
    [f"l0: &l0 [{', '.join(['x'] * 9)}]"]
    + [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 7)]
)


def settings(seed: int, folder: Path) -> str | None:
    """Damage to the YAML of params and to overrides."""
    chance = random.Random(f"yaml {seed}")
    files = sorted(file for kind in ("models", "datasets") for file in (paths.PARAMS / kind).glob("*.yaml"))
    file = chance.choice(files)
    section = Model if file.parent.name == "models" else Dataset
    text = damaged(chance, file.read_text(encoding="utf-8"), [*NOISE, *_YAML, _BOMB])
    override = chance.choice(["model.label=x", "seeds=[1, 2]", "protocol.resamples=100"])
    override = damaged(chance, override, [*NOISE, *_YAML])

    def read() -> None:
        check(section, read_yaml(text, file.name), file.name)

    def override_study() -> None:
        config.load_study("demo", override)

    for kind, each in (("file", read), ("override", override_study)):
        if found := problem(each, ConfigError):
            return f"{kind}: {found}"
    return None


KINDS = {"answers": answers, "readers": corpora, "yaml": settings}


def run(kind: str, seconds: float, first: int = 0) -> dict[str, int]:
    """Fuzz for a while, from a number on; the sorts of problems, each with the first number that shows it."""
    found: dict[str, int] = {}
    until, seed = time.monotonic() + seconds, first
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < until:
            wrong = KINDS[kind](seed, Path(folder))
            sort = re.sub(r"\d+", "N", wrong or "")[:60]
            if wrong and sort not in found:
                found[sort] = seed
                print(f"{kind} {seed}: {wrong}", flush=True)
            seed += 1
    print(f"{kind}: {seed - first} inputs, {len(found)} kinds of problems")
    return found


if __name__ == "__main__":
    kind, seconds, *rest = sys.argv[1:]
    sys.exit(bool(run(kind, float(seconds), *map(int, rest))))
