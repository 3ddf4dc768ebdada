"""Weights from the hub: what stands in the way is said in one message, before any work."""

import httpx
import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError

from ner_utils import weights
from ner_utils.schema import HubWeights, Weights

HUB = Weights(hub=HubWeights(repo="someone/model", revision="a" * 40))


def test_a_gated_model_without_access(monkeypatch):
    def refuse(*arguments, **keywords):
        request = httpx.Request("GET", "https://huggingface.co/someone/model")
        raise GatedRepoError("403 Client Error", response=httpx.Response(403, request=request))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(weights.WeightsError, match=r"someone/model@aaaaaaaaaaaa: its licence.*hf auth login"):
        weights.resolve(HUB)


def test_a_revision_without_safetensors(monkeypatch, tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: str(tmp_path))
    with pytest.raises(weights.WeightsError, match="holds no safetensors"):
        weights.resolve(HUB)


def test_a_checkpoint_of_another_architecture(tmp_path, load_model):
    from transformers import AutoConfig

    model = load_model("bert-base-cased")
    settings = AutoConfig.for_model(**dict(model.architecture) | {"hidden_size": 1024})
    settings.save_pretrained(tmp_path)
    with pytest.raises(weights.WeightsError, match=r"config\.json: hidden_size is 1024"):
        weights.check_architecture(str(tmp_path), model)
