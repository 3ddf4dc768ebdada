"""``python -m ner_utils.models.convert MODEL``: safetensors from a hub's revision that holds none.

Some older revisions, such as DeBERTa-v3's and BiomedBERT's, hold their weights as a pickle, which the rest of
the project never opens. Here it is opened once, because you ask for it, by an unpickler that admits tensors
and nothing that could run code (``torch.load`` with ``weights_only``). `weights.resolve` uses the result.
"""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path

from ner_utils import config, messages
from ner_utils.config.schema import HubSource
from ner_utils.models import weights
from ner_utils.models.weights import WeightsError

PICKLES = "pytorch_model*.bin"


def convert(hub: HubSource) -> Path:
    """Folder of the converted revision, made once and always whole. Raises `WeightsError`."""
    target = weights.converted(hub)
    if target.is_dir():
        return target
    folder = weights.snapshot(hub, [PICKLES, *weights.TEXTS])
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _save(sorted(folder.glob(PICKLES)), partial, weights.name_of(hub))
    for pattern in weights.TEXTS:
        for file in folder.glob(pattern):
            if not file.name.endswith(".index.json"):  # an index of several pickles
                shutil.copyfile(file, partial / file.name)
    partial.rename(target)
    return target


def _save(pickles: list[Path], folder: Path, name: str) -> None:
    import torch  # late: with safetensors it takes seconds
    from safetensors.torch import save_file

    if not pickles:
        raise WeightsError(f"{name}: this revision holds no {PICKLES}, so there is nothing to convert")
    tensors = {}
    for path in pickles:
        try:
            tensors |= torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            reason = messages.first_line(error)
            raise WeightsError(f"{path}: not a pickle of tensors alone, so not opened: {reason}") from None
    # Tied weights share memory, which safetensors cannot express, so each gets a copy.
    whole = {key: value.clone().contiguous() for key, value in tensors.items()}
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    with messages.errors_as_lines(config.ConfigError, WeightsError):
        for model in sys.argv[1:]:
            source = config.load_model(model).weights
            if not source.hub:
                raise WeightsError(f"{model}: its weights do not come from the hub")
            print(convert(source.hub))
