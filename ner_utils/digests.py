"""Are the files of a folder the ones that were written? Their SHA-256 lie beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from ner_utils.disk import write_whole

NAME = "checksums.json"


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(folder: Path, names: Iterable[str] | None = None) -> None:
    """Write ``checksums.json``: of the named files, or of all files in the folder and below it.

    The file appears whole or not at all. Write it last: a folder without it is not complete.
    """
    if names is None:
        files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        names = (name for name in files if name != NAME)
    sums = {name: sha256(folder / name) for name in sorted(names)}
    write_whole(folder / NAME, (json.dumps(sums, indent=1) + "\n").encode())


def verify(folder: Path) -> list[str]:
    """Names of the files that are missing or were changed, none where all is well; ``checksums.json`` itself
    where it is missing or cannot be read."""
    try:
        sums = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [NAME]
    return differing(folder, sums) if isinstance(sums, dict) else [NAME]


def differing(folder: Path, sums: dict[str, str]) -> list[str]:
    """The names of files of a folder that are missing or do not have the SHA-256 given for them."""
    there = {name: folder / name for name in sums}
    return [name for name, path in there.items() if not path.is_file() or sha256(path) != sums[name]]
