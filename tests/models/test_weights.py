"""Weights from the hub: each obstacle gives one message, before any work."""

import os

import httpx
import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import GatedRepoError
from transformers import BertConfig, BertForMaskedLM

from ner_utils import messages
from ner_utils.config.schema import HubSource, Weights
from ner_utils.models import convert, weights

HUB = Weights(hub=HubSource(repo="someone/model", revision="a" * 40))


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
    monkeypatch.setenv("NER_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(weights.WeightsError, match="holds no safetensors"):
        weights.resolve(HUB)


def test_a_pickle_is_converted_once(monkeypatch, tmp_path):
    """Tied weights among them; then it is what the revision resolves to, and loads like any other."""
    made = BertForMaskedLM(
        BertConfig(
            vocab_size=60, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
        )
    )
    made.config.save_pretrained(tmp_path / "hub")
    torch.save(made.state_dict(), tmp_path / "hub" / "pytorch_model.bin")
    monkeypatch.setenv("NER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: str(tmp_path / "hub"))
    with pytest.raises(weights.WeightsError, match="python -m ner_utils.models.convert"):
        weights.resolve(HUB)
    folder = convert.convert(HUB.hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)  # not asked again
    assert weights.resolve(HUB) == str(folder) == str(convert.convert(HUB.hub))
    loaded = BertForMaskedLM.from_pretrained(folder, use_safetensors=True).state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in made.state_dict().items())


class Act:
    def __reduce__(self):
        return os.mkdir, ("acted",)


def test_a_pickle_that_would_act_is_not_opened(monkeypatch, tmp_path):
    (tmp_path / "hub").mkdir()
    torch.save({"weight": torch.zeros(2), "more": Act()}, tmp_path / "hub" / "pytorch_model.bin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: str(tmp_path / "hub"))
    with pytest.raises(weights.WeightsError, match="not a pickle of tensors alone"):
        convert.convert(HUB.hub)
    assert not (tmp_path / "acted").exists()
    assert not weights.converted(HUB.hub).exists()


def test_an_error_without_a_message_has_an_empty_line():
    assert [messages.first_line(error) for error in (EOFError(), ValueError("a\nb"))] == ["", "a"]


def test_a_revision_without_anything_to_convert(monkeypatch, tmp_path):
    monkeypatch.setenv("NER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: str(tmp_path))
    with pytest.raises(weights.WeightsError, match="nothing to convert"):
        convert.convert(HUB.hub)


def test_a_checkpoint_of_another_architecture(tmp_path, load_model):
    from transformers import AutoConfig

    model = load_model("bert-base-cased")
    settings = AutoConfig.for_model(**dict(model.architecture) | {"hidden_size": 1024})
    settings.save_pretrained(tmp_path)
    with pytest.raises(weights.WeightsError, match=r"config\.json: hidden_size is 1024"):
        weights.check_architecture(str(tmp_path), model)


def test_a_folder_without_safetensors(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"not opened")
    with pytest.raises(weights.WeightsError, match="no model there .expected config.json"):
        weights.resolve(Weights(folder=str(tmp_path)))
