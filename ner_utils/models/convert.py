"""``python -m ner_utils.models.convert MODEL``: safetensors from a hub's revision that holds none.

Some older revisions, DeBERTa-v3's and BiomedBERT's among them, have a pickle of the weights alone, which the
rest of the project never opens. Here it is opened once, because you say so, by an unpickler that admits
tensors and nothing that could act (``torch.load`` with ``weights_only``); what was made of it is what
`weights.resolve` finds.
"""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path

from ner_utils import config
from ner_utils.config.schema import HubWeights
from ner_utils.models import weights
from ner_utils.models.weights import WeightsError

PICKLES = "pytorch_model*.bin"


def convert(hub: HubWeights) -> Path:
    """Folder of the converted revision, complete or not there; made once. Raises `WeightsError`."""
    from huggingface_hub import snapshot_download

    target = weights.converted(hub)
    if target.is_dir():
        return target
    name = f"{hub.repo}@{hub.revision[:12]}"
    beside = ["*.json", "*.txt", "*.model"]
    try:
        folder = snapshot_download(hub.repo, revision=hub.revision, allow_patterns=[PICKLES, *beside])
    except Exception as error:  # the hub client's errors share no base class with its network's
        reason = (str(error).splitlines() or [""])[0]
        raise WeightsError(f"{name}: not cached and not to be fetched: {reason}") from None
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _save(sorted(Path(folder).glob(PICKLES)), partial, name)
    for pattern in beside:
        for file in Path(folder).glob(pattern):
            if not file.name.endswith(".index.json"):  # of pickles in several parts
                shutil.copyfile(file, partial / file.name)
    partial.rename(target)
    return target


def _save(pickles: list[Path], folder: Path, name: str) -> None:
    import torch
    from safetensors.torch import save_file

    if not pickles:
        raise WeightsError(f"{name}: this revision holds no {PICKLES}, so there is nothing to convert")
    tensors = {}
    for path in pickles:
        try:
            tensors |= torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            reason = str(error).splitlines()[0]
            raise WeightsError(f"{path}: not a pickle of tensors alone, and not opened: {reason}") from None
    # Tied weights share their memory, which safetensors cannot say: each gets its own.
    whole = {key: value.clone().contiguous() for key, value in tensors.items()}
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    try:
        for model in sys.argv[1:]:
            source = config.load_model(model).weights
            if not source.hub:
                sys.exit(f"error: {model}: its weights do not come from the hub")
            print(convert(source.hub))
    except (WeightsError, config.ConfigError) as error:
        sys.exit(f"error: {error}")
