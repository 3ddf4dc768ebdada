"""Where a result came from, and whether it may still be used.

A run's manifest is written last and bears the configuration's fingerprint in its name: a result
without its manifest is not a result, and a changed configuration asks for another file.
"""

from __future__ import annotations

import ast
import datetime
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ner_utils import paths
from ner_utils.predictions import ResultError
from ner_utils.run import Run

PACKAGES = ("torch", "transformers", "tokenizers", "peft", "trl", "bitsandbytes", "datasets", "accelerate")
SCORERS = ("spans", "span_table", "scoring", "conventions")  # rooms whose code decides scores
READERS = ("data", "readers", "standoff")  # rooms whose code decides what is read


def makers(run: Run) -> tuple[str, ...]:
    """Rooms whose code decides the predictions of a run."""
    if run.members:
        return (*READERS, "spans", "ensemble")
    if run.model.approach == "tagging":
        rooms = (*READERS, "spans", "backbones", "training", "tagging")
        return (*rooms, "perturb") if run.perturbed else rooms
    rooms = (*READERS, "spans", *_form_rooms(run.model.output_format), "backbones", "generation", "decoding")
    rooms += () if run.untrained else ("training", "adapters")
    rooms += ("perturb",) if run.perturbed else ()
    return rooms if run.model.constrained == "none" else (*rooms, "grammar", "constraints")


def _form_rooms(name: str) -> tuple[str, ...]:
    return ("alignment", "forms", "json_forms" if name.startswith("json") else "copy_forms")


def manifest_path(run: Run) -> Path:
    """The file whose presence says that a run is whole and fits its configuration."""
    return run.results / f"manifest-{run.fingerprint[:12]}.json"


def is_done(run: Run) -> bool:
    """Whether the run's result is there, for this very configuration."""
    return manifest_path(run).is_file()


def write_json(path: Path, values: Any) -> None:
    """Write a file whole or not at all; object keys keep their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def clear(run: Run) -> None:
    """Begin a run's results anew: without its manifests, what is there counts for nothing."""
    run.results.mkdir(parents=True, exist_ok=True)
    for path in run.results.glob("manifest-*.json"):
        path.unlink()


def write_manifest(run: Run, files: Iterable[str]) -> Path:
    """Seal a finished run: configuration, code, versions, machine and the files' checksums."""
    values = {
        "fingerprint": run.fingerprint,
        "identity": run.identity,
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **environment(),
        "code": {room: source_hash([room]) for room in makers(run)},
        "files": {name: _sha256(run.results / name) for name in sorted(files)},
    }
    path = manifest_path(run)
    write_json(path, values)
    return path


def read_manifest(run: Run) -> dict[str, Any]:
    """The manifest of a finished run. Raises `ResultError` where the stored result is missing,
    belongs to another configuration, or was changed after it was written."""
    path = manifest_path(run)
    if not path.is_file():
        raise ResultError(_explain_missing(run))
    values = json.loads(path.read_text(encoding="utf-8"))
    if values.get("fingerprint") != run.fingerprint:
        raise ResultError(f"{paths.relative(path)}: its fingerprint is not the one in its name")
    for name, wanted in values["files"].items():
        file = run.results / name
        if not file.is_file() or _sha256(file) != wanted:
            raise ResultError(f"{paths.relative(file)}: missing or changed since the run wrote it")
    return values


def _explain_missing(run: Run) -> str:
    folder = paths.relative(run.results)
    command = f"make study STUDY={run.study}"
    others = list(run.results.glob("manifest-*.json"))
    if not others:
        return f"{folder}: no result; run {command}"
    stored = json.loads(others[0].read_text(encoding="utf-8"))
    changes = ", ".join(_differences(stored["identity"], run.identity)) or "the format of results"
    return f"{folder}: made with another configuration ({changes}); run {command}"


def _differences(stored: Any, wanted: Any, key: str = "") -> list[str]:
    if isinstance(stored, dict) and isinstance(wanted, dict):
        return [
            line
            for name in sorted(stored.keys() | wanted.keys())
            for line in _differences(stored.get(name), wanted.get(name), f"{key}.{name}".strip("."))
        ]
    return [] if stored == wanted else [f"{key}: stored {stored!r}, now {wanted!r}"]


def warnings(run: Run, manifest: dict[str, Any]) -> list[str]:
    """What differs between the environment of a stored run and this one, for the thesis to print."""
    found = []
    changed = [room for room, code in manifest["code"].items() if code != source_hash([room])]
    if changed:
        found.append(f"{run.system}: the code of {', '.join(changed)} has changed since the run")
    for package, version in manifest["versions"].items():
        now = importlib.metadata.version(package)
        if now.split("+")[0] != version.split("+")[0]:
            found.append(f"{run.system}: made with {package} {version}, here is {now}")
    return found


def source_hash(rooms: Iterable[str]) -> str:
    """SHA-256 (first 12 hex digits) over the code of some rooms, whatever its layout and comments."""
    folder = Path(__file__).parent
    code = [_code((folder / f"{room}.py").read_text(encoding="utf-8")) for room in rooms]
    return hashlib.sha256("\n".join(code).encode()).hexdigest()[:12]


@functools.lru_cache(maxsize=100)
def _code(text: str) -> str:
    return ast.unparse(ast.parse(text))


def commit() -> str:
    """Commit of the project, with ``+`` where tracked files differ from it; ``unknown`` without git."""
    try:
        head = _git("rev-parse", "--short=10", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=paths.ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def environment() -> dict[str, Any]:
    """Commit, package versions and machine."""
    return {
        "commit": commit(),
        "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": _processor(),
            **_gpu(),
        },
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or "unknown"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def _gpu() -> dict[str, str]:
    import torch

    return {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
