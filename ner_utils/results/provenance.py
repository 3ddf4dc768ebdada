"""Where a result came from, and whether it may still be used.

A run's manifest is written last and has the configuration's fingerprint in its name: files without a
manifest are no result, and a changed configuration needs another file.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ner_utils import data, efficiency, paths, sealed, stages
from ner_utils.config.run import Run
from ner_utils.files import differing, sha256, sha256_once
from ner_utils.sealed import ResultError

PACKAGES = ("torch", "transformers", "tokenizers", "peft", "trl", "bitsandbytes", "datasets", "accelerate")


def manifest_path(run: Run) -> Path:
    """The file that exists if a run is complete and of this configuration."""
    return run.results / f"manifest-{run.fingerprint[:12]}.json"


def is_done(run: Run) -> bool:
    """Whether the run has a result of exactly this configuration."""
    return manifest_path(run).is_file()


def replaces_result(run: Run) -> bool:
    """Whether the run would take the place of a stored result of other settings."""
    return not is_done(run) and any(run.results.glob("manifest-*.json"))


def clear(run: Run) -> None:
    """Delete a run's manifests: without them, its files are no result."""
    run.results.mkdir(parents=True, exist_ok=True)
    for path in run.results.glob("manifest-*.json"):
        path.unlink()


def inputs(run: Run) -> dict[str, dict[str, str]]:
    """SHA-256 of the files that a run reads, by name: those of its corpus and of a local
    checkpoint, as far as they are at hand."""
    digests = {"data": data.digests(run.dataset_name, run.dataset)}
    weights = getattr(run.served or run.model, "weights", None)
    if weights and weights.folder and Path(weights.folder).is_dir():
        files = sorted(path for path in Path(weights.folder).iterdir() if path.is_file())
        digests["weights"] = {path.name: sha256_once(path) for path in files}
    return digests


def write_manifest(run: Run, files: Iterable[str]) -> Path:
    """Seal a finished run: configuration, stages, inputs, versions, machine and the files' checksums."""
    values = {
        "fingerprint": run.fingerprint,
        "identity": run.identity,
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **environment(),
        "stages": run.stages,
        "inputs": inputs(run),
        "files": {name: sha256(run.results / name) for name in sorted(files)},
    }
    path = manifest_path(run)
    sealed.write_json(path, values)
    return path


def read_manifest(run: Run) -> dict[str, Any]:
    """The manifest of a finished run. Raises `ResultError` where the stored result is missing,
    belongs to another configuration, or was changed after it was written."""
    path = manifest_path(run)
    if not path.is_file():
        raise ResultError(_explain_missing(run))
    again = f"restore it, or delete it and run make study STUDY={run.study}"
    values = sealed.read_json(path, again)
    if values["fingerprint"] != run.fingerprint:
        raise ResultError(f"{paths.relative(path)}: its fingerprint is not the one in its name; {again}")
    if wrong := differing(run.results, values["files"]):
        file = paths.relative(run.results / wrong[0])
        again = f"restore it, or delete {paths.relative(path)} and run make study STUDY={run.study}"
        raise ResultError(f"{file}: missing or changed since the run wrote it; {again}")
    return values


def check_inputs(run: Run, manifest: dict[str, Any]) -> None:
    """Raise `ResultError` where a file that a finished run has read is at hand and has changed since."""
    _compare(run.results, manifest["inputs"], inputs(run))


def begin_training(run: Run) -> None:
    """Store the checksums of the files that a training reads with its checkpoints. Raises `ResultError` where
    it began with other files: half a training on each would pass for a training on these."""
    if not check_training(run):
        sealed.write_json(run.scratch / "inputs.json", inputs(run))


def check_training(run: Run) -> bool:
    """Whether a training of this run has begun here. Raises `ResultError` where a file that it has read has
    changed since."""
    kept = run.scratch / "inputs.json"
    if not kept.is_file():
        return False
    again = f"delete {paths.relative(run.scratch)} to train anew"
    _compare(run.scratch, sealed.read_json(kept, again), inputs(run))
    return True


def _compare(made: Path, before: dict[str, dict[str, str]], now: dict[str, dict[str, str]]) -> None:
    for kind, files in now.items():
        known = before.get(kind, {})
        for name in changed(known, files):
            if name in known:
                here = files.get(name, "none")[:12]
                raise ResultError(
                    f"{paths.relative(made)}: made from another {name} (sha256 {known[name][:12]}, "
                    f"here {here}); restore it, or delete this folder to make the run again"
                )


def changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """The files of a corpus that are here and differ, by their checksums; also those of a pattern that are
    gone while others of it are here. Where none is here, none can have changed."""
    patterns = {name.partition(" ")[0] for name in now if "*" in name}
    gone = [name for name in before.keys() - now.keys() if name.partition(" ")[0] in patterns]
    return sorted([*gone, *(name for name in now if now[name] != before.get(name))])


def content(manifest: dict[str, Any]) -> str:
    """The checksums of a run's predictions, which identify them whenever and wherever they were made."""
    return " ".join(digest for name, digest in manifest["files"].items() if name.endswith(".jsonl"))


def _explain_missing(run: Run) -> str:
    folder = paths.relative(run.results)
    command = f"make study STUDY={run.study}"
    others = list(run.results.glob("manifest-*.json"))
    if not others:
        return f"{folder}: no result; run {command}"
    stored = sealed.read_json(others[0], f"delete it and run {command}")
    changes = ", ".join(_differences(stored["identity"], run.identity)) or "the format of results"
    return f"{folder}: made with another configuration ({changes}); run {command}"


def _differences(stored: Any, declared: Any, key: str = "") -> list[str]:
    if isinstance(stored, dict) and isinstance(declared, dict):
        return [
            line
            for name in sorted(stored.keys() | declared.keys())
            for line in _differences(stored.get(name), declared.get(name), f"{key}.{name}".strip("."))
        ]
    return [] if stored == declared else [f"{key}: stored {stored!r}, now {declared!r}"]


def warnings(run: Run, manifest: dict[str, Any]) -> list[str]:
    """Differences between the environment of a stored run and this one, for the thesis to print."""
    lines = []
    if manifest["commit"].endswith("+"):
        lines.append(f"runs were made with files that differed from commit {manifest['commit'][:-1]}")
    for package, version in manifest["versions"].items():
        now = importlib.metadata.version(package)
        if now.split("+")[0] != version.split("+")[0]:
            lines.append(f"{run.system}: made with {package} {version}, here is {now}")
    return lines


def read_otherwise(run: Run, manifest: dict[str, Any]) -> str | None:
    """Upper bound on the answers that the present reader may read differently from the one that was used;
    None where the rules are the same. All rules read an answer in the exact form alike, and each of its items
    that was found in the sentence or repeated."""
    if manifest["stages"].get("reading", stages.NUMBERS["reading"]) == stages.NUMBERS["reading"]:
        return None
    lines = (run.results / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    doubtful = sum(map(_is_doubtful, map(json.loads, lines)))
    return f"{doubtful} of {len(lines)}" if doubtful else None


def _is_doubtful(row: dict[str, Any]) -> bool:
    flaws = (number for reason, number in row["dropped"].items() if reason != "duplicate")
    return row["status"] != "ok" or any(flaws)


def commit() -> str:
    """Commit of the project, with ``+`` where tracked files differ from it, except results and figures, which
    a study writes itself; ``unknown`` without git."""
    try:
        head = _git("rev-parse", "--short=10", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!results", ":!figures")
        return head + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=paths.ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def environment() -> dict[str, Any]:
    """Commit, package versions and machine."""
    import torch  # late: it takes seconds

    machine = {"system": f"{platform.system()} {platform.machine()}", "processor": _processor()}
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    python = platform.python_version()
    return {"commit": commit(), "versions": versions, "python": python, "machine": machine}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or "unknown"
    return f"{name}, {len(efficiency.cores())} cores"
