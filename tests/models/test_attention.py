"""LLMs that tag without their causal mask: what each position sees, on tiny random models of each class."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForTokenClassification, AutoTokenizer

from ner_utils import scoring
from ner_utils.config.schema import Lora, Weights
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data.corpus import Sentence
from ner_utils.experiments import experiment
from ner_utils.models import backbones, tagging, weights

TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY |= {"num_key_value_heads": 2, "head_dim": 8, "vocab_size": 60, "pad_token_id": 0, "num_labels": 5}
LENGTH, WINDOW = 24, 4


def tiny(kind, attention, how="sdpa", **more):
    """A random token classifier of a type of models, with large weights, so that no influence rounds to 0."""
    settings = AutoConfig.for_model(kind, **TINY, initializer_range=0.3, **more)
    if attention == "bidirectional":
        backbones.remove_causal_mask(settings)
    torch.manual_seed(0)
    return AutoModelForTokenClassification.from_config(settings, attn_implementation=how)


def seen(model, position, mask=None):
    """The positions whose embeddings have a gradient when the model, in training, tags ``position``."""
    torch.manual_seed(1)
    embeddings = torch.randn(1, LENGTH, TINY["hidden_size"], requires_grad=True)
    model.train()(inputs_embeds=embeddings, attention_mask=mask).logits[0, position].norm().backward()
    return embeddings.grad[0].abs().sum(-1).nonzero().flatten().tolist()


def windowed(kind):
    """The settings with which a type has a sliding window in all layers."""
    if kind in ("qwen2", "qwen3"):
        return {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 0}
    return {"sliding_window": WINDOW}


@pytest.mark.parametrize("how", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", backbones.UNMASKABLE)
def test_what_a_position_sees(kind, how):
    """In training, with padding and without."""
    padded = torch.ones(1, LENGTH, dtype=torch.long)
    padded[0, 20:] = 0
    for attention, ends in (("causal", (10, 10)), ("bidirectional", (LENGTH, 20))):
        model = tiny(kind, attention, how)
        assert seen(model, 9) == list(range(ends[0]))
        assert seen(model, 9, padded) == list(range(ends[1]))


@pytest.mark.parametrize("kind", [kind for kind in backbones.UNMASKABLE if kind != "llama"])
def test_a_sliding_window_opens_to_both_sides(kind):
    left = seen(tiny(kind, "causal", **windowed(kind)), 12)
    both = seen(tiny(kind, "bidirectional", **windowed(kind)), 12)
    assert 0 < left[0] < left[-1] == 12 < both[-1] < LENGTH - 1
    assert set(range(left[0], 14)) <= set(both)
    assert both[0] > 0


@pytest.mark.parametrize("kind", backbones.UNMASKABLE)
def test_a_token_that_follows_changes_a_tag_and_padding_does_not(kind, tmp_path):
    """In prediction; and a checkpoint that is saved and loaded gives the same."""
    ids = torch.arange(10, 22)[None]
    other = ids.clone()
    other[0, 6] = 50
    batch = torch.cat([torch.nn.functional.pad(ids, (0, 5)), torch.full((1, 17), 7)])
    for attention in ("causal", "bidirectional"):
        model = tiny(kind, attention).eval()
        model.save_pretrained(tmp_path / attention)
        loaded = tagging.load_tagger(tmp_path / attention).eval()
        with torch.inference_mode():
            before, after = model(ids).logits[0], model(other).logits[0]
            assert torch.equal(loaded(ids).logits[0], before)
            among = model(batch, attention_mask=(batch > 0).long()).logits[0, :12]
        changed = (before - after).abs().amax(-1) > 1e-6
        assert changed.tolist() == [attention == "bidirectional"] * 6 + [True] * 6
        assert torch.allclose(among, before, atol=1e-4)


# ------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("bert", "bert is no causal language model"),
        ("modernbert", "modernbert is no causal language model"),
        ("qwen3_5_text", "layers of linear attention"),
        ("nemotron", "not tried with nemotron, only with llama, "),  # with SDPA it would stay causal
        ("mamba", "layers of linear attention"),
    ],
)
def test_types_whose_mask_must_stay(kind, reason):
    settings = AutoConfig.for_model(kind)
    with pytest.raises(ValueError, match=reason):
        backbones.remove_causal_mask(settings)
    assert getattr(settings, "is_causal", None) is not False


def test_an_encoder_is_refused_before_it_trains(make_run, twenty):
    run = make_run("minilm", {"attention": "bidirectional"})
    with pytest.raises(ConfigError, match="MiniLM.*attention: bidirectional: bert is no causal"):
        tagging.train_tagger(run, twenty, twenty)


# ------------------------------------------------------------------------------ whole runs
@pytest.fixture(scope="module")
def tiny_weights(load_model, tmp_path_factory):
    """A Llama of two layers whose head predicts mentions before it has learnt."""
    folder, source = tmp_path_factory.mktemp("llama"), weights.resolve(load_model("smollm2-135m").weights)
    size = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    size |= {"num_key_value_heads": 1, "head_dim": 32, "initializer_range": 0.3}
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(source, **size)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return Weights(folder=str(folder))


@pytest.mark.slow
@pytest.mark.parametrize("weights_are", ["trained", "adapted", "nf4"])
@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_a_trained_tagger_sees_what_it_was_declared_to_see(
    attention, weights_are, tiny_weights, make_run, twenty
):
    """The checkpoint predicts as well as in its evaluation on dev; a word that follows changes what precedes
    it without the mask alone."""
    few = twenty[:10]
    overrides = {"training.learning_rate": 5.0e-3, "training.epochs": 30, "training.batch_size": 5}
    overrides |= {"training.patience": 9, "attention": attention}
    run = make_run("smollm2-135m-tagger", overrides, dev_evaluations=1)
    lora = (
        None if weights_are == "trained" else Lora(r=16, alpha=32, dropout=0.0, target_modules="all-linear")
    )
    changes = {"weights": tiny_weights, "lora": lora, "quantisation": "nf4" if weights_are == "nf4" else None}
    changes["labelled"] = "first" if attention == "bidirectional" else "last"
    model = run.model.model_copy(update=changes)
    run = run.model_copy(update={"model": model, "system": f"{attention}-{weights_are}"})
    record = experiment.train_run(run, {"train": few, "dev": few})
    checkpoint = experiment.best_checkpoint(run, record)
    predicted, _ = tagging.predict_with_tagger(run, checkpoint, few)
    f1 = scoring.score([each.spans for each in few], [each.spans for each in predicted]).f1
    assert f1 == pytest.approx(record["looks"][0]["dev_f1"]) and f1 > 0.5
    words = next(each.tokens for each, found in zip(few, predicted, strict=True) if found.spans)
    texts = [Sentence(f"s{at}", None, (*words, last), ()) for at, last in enumerate(["and", "Rome"])]
    first, second = (each.confidences[0] for each in tagging.predict_with_tagger(run, checkpoint, texts)[0])
    assert (first == pytest.approx(second, abs=1e-5)) == (attention == "causal")
