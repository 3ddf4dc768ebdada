"""Files that are written whole or not at all, verified by SHA-256, and named when the disk is full."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHECKSUMS = "checksums.json"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
ALMOST_FULL = 2**20  # bytes: if less is free, the disk is the reason for a write that failed without one


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """If the block fails because the disk or the user's quota is full, raise `OSError` with the file's name.

    ``path`` is the file that the block writes, or a folder, whose newest file is named. The context is needed
    because torch and safetensors report a full disk with other exceptions, and no library names the file.
    """
    try:
        yield
    except Exception as error:
        number = _full(error, path)
        if number is None or getattr(error, "filename", None):
            raise
        reason = f"{os.strerror(number)}, {_free(path) / 1e6:,.0f} MB are free"
        raise OSError(number, reason, str(_newest(path))) from None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def write_whole_json(path: Path, values: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_whole(path, (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_once(path: Path) -> str:
    """`sha256`, computed once a process unless the file changes: all runs of a study read the same files."""
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=1000)
def _sha256(path: Path, *_: int) -> str:
    return sha256(path)


def write_checksums(folder: Path, names: Iterable[str] | None = None) -> None:
    """Write ``checksums.json`` for the named files, or for all files in the folder and below it.

    Write it last: a folder without it is not complete.
    """
    if names is None:
        files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        names = (name for name in files if name != CHECKSUMS)
    write_whole_json(folder / CHECKSUMS, {name: sha256(folder / name) for name in sorted(names)})


def forget_checksums(folder: Path, names: Collection[str]) -> None:
    """Take files out of ``checksums.json``, before they are deleted. The other files are not read, so that a
    damaged one stays known as such."""
    sums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
    write_whole_json(folder / CHECKSUMS, {name: sum_ for name, sum_ in sums.items() if name not in names})


def verify_checksums(folder: Path, digest: Callable[[Path], str] = sha256) -> list[str]:
    """Names of the files that are missing or were changed; ``checksums.json`` itself if it is missing or
    cannot be read."""
    try:
        sums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [CHECKSUMS]
    return differing(folder, sums, digest) if isinstance(sums, dict) else [CHECKSUMS]


def differing(folder: Path, sums: dict[str, str], digest: Callable[[Path], str] = sha256) -> list[str]:
    """The names of files of a folder that are missing or do not have the given SHA-256."""
    files = {name: folder / name for name in sums}
    return [name for name, path in files.items() if not path.is_file() or digest(path) != sums[name]]


def _full(error: Exception, path: Path) -> int | None:
    """The system's number of an error which says that the disk is full, else None."""
    if isinstance(error, OSError):
        return error.errno if error.errno in DISK_FULL else None
    text = str(error)
    # torch's writer of archives does not give the reason.
    if "inline_container" in text and _free(path) < ALMOST_FULL:
        return errno.ENOSPC
    return next((number for number in DISK_FULL if os.strerror(number) in text), None)


def _free(path: Path) -> int:
    """Free bytes on the disk of a path, which need not exist yet."""
    return shutil.disk_usage(next(each for each in (path, *path.absolute().parents) if each.exists())).free


def _newest(path: Path) -> Path:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else []
    return max(files, key=lambda file: file.stat().st_mtime_ns, default=path)
