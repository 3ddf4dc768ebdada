"""Files that are written whole or not at all, verified by SHA-256, and named when the disk is full."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKSUMS = "checksums.json"
FULL = (errno.ENOSPC, errno.EDQUOT)
LITTLE = 2**20  # bytes: with less left, a write that failed without a reason failed for this one


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Raise `OSError` with the file's name where the block fails because the disk, or the user's share of it,
    is full. ``path`` is what the block writes: a file, or a folder, whose newest file is the one.

    torch and safetensors report a full disk with other exceptions, and no library names the file.
    """
    try:
        yield
    except Exception as error:
        number = _full(error, path)
        if number is None or getattr(error, "filename", None):
            raise
        said = f"{os.strerror(number)}, {_free(path) / 1e6:,.0f} MB are free"
        raise OSError(number, said, str(_newest(path))) from None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path, names: Iterable[str] | None = None) -> None:
    """Write ``checksums.json``: of the named files, or of all files in the folder and below it.

    The file appears whole or not at all. Write it last: a folder without it is not complete.
    """
    if names is None:
        files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        names = (name for name in files if name != CHECKSUMS)
    sums = {name: sha256(folder / name) for name in sorted(names)}
    write_whole(folder / CHECKSUMS, (json.dumps(sums, indent=1) + "\n").encode())


def verify_checksums(folder: Path) -> list[str]:
    """Names of the files that are missing or were changed, none where all is well; ``checksums.json`` itself
    where it is missing or cannot be read."""
    try:
        sums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [CHECKSUMS]
    return differing(folder, sums) if isinstance(sums, dict) else [CHECKSUMS]


def differing(folder: Path, sums: dict[str, str]) -> list[str]:
    """The names of files of a folder that are missing or do not have the SHA-256 given for them."""
    there = {name: folder / name for name in sums}
    return [name for name, path in there.items() if not path.is_file() or sha256(path) != sums[name]]


def _full(error: Exception, path: Path) -> int | None:
    """The number of the error where it says that the disk is full."""
    if isinstance(error, OSError):
        return error.errno if error.errno in FULL else None
    said = str(error)
    # torch's writer of archives keeps the reason to itself.
    if "inline_container" in said and _free(path) < LITTLE:
        return errno.ENOSPC
    return next((number for number in FULL if os.strerror(number) in said), None)


def _free(path: Path) -> int:
    """Free bytes of the disk on which a path lies, or will lie."""
    return shutil.disk_usage(next(each for each in (path, *path.absolute().parents) if each.exists())).free


def _newest(path: Path) -> Path:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else []
    return max(files, key=lambda file: file.stat().st_mtime_ns, default=path)
