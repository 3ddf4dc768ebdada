"""Stored files in which damage is noticed: each JSON file ends with the SHA-256 of its own text, and a list
of digests seals files that other programs read.

``python -m ner_utils.sealed LIST.json`` verifies such a list and names the first file that differs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ner_utils import messages, paths
from ner_utils.files import differing, sha256, write_whole


class ResultError(Exception):
    """A stored result that cannot be used; the message names file and reason."""


_SEAL = re.compile(rb',\n "sha256": "([0-9a-f]{64})"\n\}\n\Z')


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a non-empty object with its seal; keys keep their order."""
    text = json.dumps(values, indent=1, ensure_ascii=False).removesuffix("\n}").encode()
    write_whole(path, text + f',\n "sha256": "{hashlib.sha256(text).hexdigest()}"\n}}\n'.encode())


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """The object in a sealed file, without the seal. If the file is missing or a byte of it has changed,
    raises `ResultError` with a message that ends with the ``remedy``."""
    where = paths.relative(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ResultError(f"{where}: cannot be read ({error.strerror}); {remedy}") from None
    seal = _SEAL.search(content)
    if not seal or hashlib.sha256(content[: seal.start()]).hexdigest() != seal[1].decode():
        raise ResultError(f"{where}: damaged or edited, its checksum differs; {remedy}")
    values = json.loads(content)
    del values["sha256"]
    return values


def read_made(path: Path, stages: dict[str, int], remedy: str) -> dict[str, Any]:
    """`read_json` of a file that holds the numbers of the ``stages`` by which it was made. Raises
    `ResultError` also where these are others than given."""
    where = paths.relative(path)
    if not path.is_file():
        raise ResultError(f"{where}: not made yet; {remedy}")
    values = read_json(path, remedy)
    if values["stages"] != stages:
        raise ResultError(f"{where}: made by other rules; {remedy}")
    return values


def seal_files(target: Path, files: Iterable[Path], remedy: str) -> None:
    """Write the digests of files to ``target``, with the ``remedy`` for a file that was changed."""
    listed = {os.path.relpath(path, target.parent): sha256(path) for path in sorted(files)}
    write_json(target, {"remedy": remedy, "files": listed})


def verify_files(target: Path, remedy: str) -> None:
    """Raise `ResultError` if a file of a list was changed after the list was written."""
    listed = read_json(target, remedy)
    if wrong := differing(target.parent, listed["files"]):
        file = paths.relative((target.parent / wrong[0]).resolve())
        raise ResultError(f"{file}: changed since it was written; {listed['remedy']}")


if __name__ == "__main__":
    with messages.errors_as_lines(ResultError):
        verify_files(Path(sys.argv[1]).resolve(), "delete its folder and run make thesis again")
