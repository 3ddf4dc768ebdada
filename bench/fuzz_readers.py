"""Corpus files with random damage: each is read, or refused with one short message that names file and line.

``python bench/fuzz_readers.py [FILES]`` (default 25,000; half a minute); ``make test`` reads a few hundred.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
from pathlib import Path

from ner_utils import external, lines, messages, readers, schema

COLUMNS = "-DOCSTART- -X- O\n\n# id = 1\nAda NN B-PER\nL.\tNN\tI-PER\n# NN O\n\n#ner NN O\nRom NN B-LOC\n"
ROWS = (
    '{"id": 7, "document": "d", "tokens": ["Ada", "\\u00e9"], "ner_tags": ["B-PER", "O"]}\n\n'
    '{"tokens": ["in", "Rome 🙂"], "ner_tags": [0, 3], "more": [{"a": NaN}]}\n'
)
ABSTRACTS = (
    "7|t|Ada of Rome.\n7|a|他在巴黎。Il a vu.\n7\t0\t3\tAda\tPER\n7\t7\t11\tRome\tLOC\n7\tRel\tx\ty\n\n"
    "8|t|a\n8|a|\n"
)
TABLE = "7\tAda of Rome.\tIl a vu.\n8\tx\t\n"
MENTIONS = "7\tT1\tPER\t0\t3\tAda\n7\tT2\tLOC\t7\t11\tRome\n"
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
FORMATS: dict[str, tuple[dict, tuple[str, ...]]] = {
    "conll": ({"columns": ["token", "pos", "tag"], "separator": "space"}, (COLUMNS,)),
    "jsonl": ({"tags": TAGS}, (ROWS,)),
    "pubtator": ({"overlaps": "longest"}, (ABSTRACTS,)),
    "biocreative": ({}, (TABLE, MENTIONS)),
}
# Bytes that mean something in one of the formats, and some that mean nothing anywhere.
PIECES = [*b'\t\n\r #-|",:[]{}0179\\OBIE_', 0, 0x1B, 0x85, 0xFF]
PIECES = [bytes([byte]) for byte in PIECES] + [
    "\ufeff".encode(), "\u2028".encode(), "\u3000".encode(), "。".encode(), b"\\ud800", b"null", b"NaN",
    b"1e999", b"true", b"-DOCSTART- ", b"# ", b"9" * 5000, b"[" * 2000, b"x" * 20_000, b'"id": 1, ',
    b"\r\n\r\n",
]  # fmt: skip


def damaged(chance: random.Random, content: bytes) -> bytes:
    """A piece or two put in, taken out, doubled or moved."""
    for _ in range(chance.randint(1, 2)):
        start, end = sorted(chance.choices(range(len(content) + 1), k=2))
        if chance.random() < 0.9:
            end = min(start + chance.randint(0, 3), len(content))
        new = [chance.choice(PIECES), b"", content[start:end] * 2, content[end : end + 9]]
        content = content[:start] + chance.choice(new) + content[end:]
    return content


def check(files: int, seed: int, folder: Path) -> int:
    """Read so many damaged files; returns how many were refused. Raises `AssertionError` on a wrong message
    or a sentence that cannot be, and whatever else a reader raises."""
    chance = random.Random(seed)
    refused = 0
    for _ in range(files):
        format, (keys, texts) = chance.choice(list(FORMATS.items()))
        dataset = _dataset(format, keys | {"flaws": chance.choice(["refuse", "drop"])})
        paths = [folder / f"{at}" for at in range(len(texts))]
        broken = chance.randrange(len(texts))
        for at, (path, text) in enumerate(zip(paths, texts, strict=True)):
            path.write_bytes(damaged(chance, text.encode()) if at == broken else text.encode())
        try:
            for sentence in readers.read(dataset, *paths):
                _check(sentence)
            if format == "conll":
                external.read(paths[0])
        except lines.DataError as error:
            refused += 1
            message = str(error)
            assert re.match(rf"{re.escape(str(folder))}/[01]:( |\d+: )", message), message
            assert len(message) < 3000 and message.count("\n") < 8
            assert not any(map(messages.acts, message.replace("\n", ""))), message
    return refused


def _dataset(format: str, keys: dict) -> schema.Dataset:
    file = {"file": "x"} | ({"annotations": schema.File(file="y")} if format == "biocreative" else {})
    about = dict.fromkeys(("label", "description", "licence", "language"), "x")
    splits = {split: schema.Split(**file) for split in ("train", "dev", "test")}
    types = {"PER": "person", "LOC": "location"}
    return schema.Dataset(format=format, types=types, splits=splits, **about, **keys)


def _check(sentence: readers.Sentence) -> None:
    end = 0
    for span in sentence.spans:
        assert end <= span.start < span.end <= len(sentence.tokens) and span.type in ("PER", "LOC")
        end = span.end
    assert sentence.tokens and all(token.strip() for token in sentence.tokens)
    "".join([sentence.id, sentence.document or "", *sentence.tokens]).encode()


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 25_000
    with tempfile.TemporaryDirectory() as place:
        print(f"{check(number, 0, Path(place)):,} of {number:,} files refused, all others read")
