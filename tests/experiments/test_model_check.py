"""What a study asks of its models is tried before training: positions, lengths, prompts and grammars."""

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, RobertaConfig, RobertaModel
from trial_study import STUDY, row

from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data.corpus import Sentence
from ner_utils.experiments import model_check, preflight
from ner_utils.models.generation import constraints
from ner_utils.models.weights import WeightsError

pytestmark = pytest.mark.slow


def test_more_tokens_than_positions(trial, warned):
    with pytest.raises(ConfigError, match=r"systems.tagger: training.max_length is 513, .* for 512 tokens"):
        preflight.check_study("trial", "tagger:model.training.max_length=513")
    assert warned("tagger:model.training.max_length=512") == []


def test_positions_of_roberta_begin_after_its_padding(tmp_path):
    """The longest sentence that passes through the library's model has as many tokens."""
    tiny = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    settings = RobertaConfig(**tiny, vocab_size=20, max_position_embeddings=40, pad_token_id=1)
    settings.save_pretrained(tmp_path)
    most = model_check.positions(str(tmp_path))
    model = RobertaModel(settings)
    model(torch.full((1, most), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, most + 1), 5))
    BertConfig(**tiny, max_position_embeddings=40).save_pretrained(tmp_path)
    assert model_check.positions(str(tmp_path)) == 40


def test_sentences_that_will_be_cut_are_counted(trial, warned):
    """Words of one sub-token, and two special tokens: 30 fit into 32, 31 do not."""
    for split, lengths in {"train": (2, 30, 31), "dev": (30, 31, 32), "test": (31, 32, 60)}.items():
        trial.split(split, [row(["ada", *["a"] * (n - 1)]) for n in lengths])
    lines = warned("tagger:model.training.max_length=32")
    assert len(lines) == 3
    for number, split in enumerate(("train", "dev", "test"), start=1):
        expected = f"max_length 32 cuts {number} of 3 sentences of mine, {split}"
        assert any(expected in line for line in lines), split


def test_training_examples_that_will_be_cut_are_counted(trial, warned):
    trial.study(STUDY.replace("  tagger: {model: minilm}", "  writer: {model: smollm2-135m}"))
    trial.split("train", [row(["Ada", *["a"] * n]) for n in (1, 2, 300, 400)])
    (line,) = warned("writer:model.training.max_length=256")
    assert "systems.writer: max_length 256 cuts 2 of 4 training examples of mine" in line


def test_a_prompt_that_is_longer_than_the_positions(trial, warned):
    trial.study(
        STUDY.replace("  tagger: {model: minilm}", "  writer: {model: smollm2-135m, zero_shot: true}")
    )
    trial.split("test", [row(["Ada", *["a"] * 9000])])
    (line,) = warned()
    assert "the longest prompt on mine has 9," in line and "was made for 8,192" in line


# ------------------------------------------------------------------------------ prompts
def test_a_template_that_refuses(trial, make_tiny_llama):
    folder = make_tiny_llama()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{{ raise_exception('not like this') }}"
    tokenizer.save_pretrained(folder)
    model = (trial.studies.parent / "models" / "smollm2-135m.yaml").read_text()
    head, _, tail = model.partition("weights:")
    rest = (
        tail[tail.index("\narchitecture:") :]
        if "\narchitecture:" in tail
        else tail[tail.index("\npad_token:") :]
    )
    text = f"{head}weights: {{folder: {folder}}}{rest}"
    (trial.studies.parent / "models" / "tiny.yaml").write_text(text)
    trial.study(STUDY.replace("  tagger: {model: minilm}", "  writer: {model: tiny, zero_shot: true}"))
    with pytest.raises((ConfigError, WeightsError), match="not like this|config.json: "):
        preflight.check_study("trial")


def test_words_that_a_form_does_not_read_back(trial, monkeypatch):
    """`forms.check` has its own tests; here it is called with the prompt's form."""

    def refuse(form):
        raise ValueError(f"type PER: {form.types['PER']} is not read back")

    monkeypatch.setattr(model_check.forms, "check", refuse)
    system = "  writer: {model: smollm2-135m, zero_shot: true, overrides: {type_names: {PER: human}}}"
    trial.study(STUDY.replace("  tagger: {model: minilm}", system))
    with pytest.raises(ConfigError, match="systems.writer: .*type PER: human is not read back"):
        preflight.check_study("trial")


# ----------------------------------------------------------------------------- grammars
def test_a_sentence_without_a_grammar_is_named_before_training(trial, monkeypatch):
    """llguidance has limits, for example on the symbols of a grammar."""
    make = constraints.Constraints.of

    def limited(self, tokens):
        if len(tokens) > 3:
            raise ValueError("too many symbols\nand more lines")
        return make(self, tokens)

    monkeypatch.setattr(constraints.Constraints, "of", limited)
    trial.split("test", [row(["Ada"]), row(["Ada", "met", "Bo", "today"])])
    system = "  writer: {model: smollm2-135m, zero_shot: true, overrides: {constrained: grounded}}"
    trial.study(STUDY.replace("  tagger: {model: minilm}", system))
    with pytest.raises(
        ConfigError, match=r"sentence test-000001 of mine \(4 tokens, 2 types: too many symbols\); choose"
    ):
        preflight.check_study("trial")


@pytest.mark.parametrize("form", ["json-occurrence", "inline"])
def test_grammars_of_odd_sentences(trial, warned, form):
    """Control and format characters, quotation marks, brackets, special tokens."""
    odd = [["\x01", "\x1b[2J", "\x7f", "\x9b"], ["\u202e", "\u200d", "a\u2028b", "a\u0085", "\t.", "a\nb"]]
    odd += [['"', "\\", "[", "]", "'"], ["<|im_end|>", "</think>", "{", "}"]]
    odd += [["\U0001f468\u200d\U0001f469", "\ufffd", "\ue000"]]
    trial.split("test", [row(words) for words in odd])
    overrides = f"{{max_new_tokens: 16, constrained: grounded, output_format: {form}}}"
    system = f"  writer: {{model: smollm2-135m, zero_shot: true, overrides: {overrides}}}"
    trial.study(STUDY.replace("  tagger: {model: minilm}", system))
    assert warned() == []


def test_the_oddest_sentences():
    texts = ["A b", "c D", "one two three four", "internationalisation-of-everything", "1", "2"]
    texts += ["x\u200dy", "z\u200dq"]
    rows = [Sentence(str(n), None, tuple(text.split(" ")), ()) for n, text in enumerate(texts)]
    assert [each.id for each in model_check.oddest(rows)] == ["0", "2", "3", "4", "6"]


WRITER = STUDY.replace("  tagger: {model: minilm}", "  writer: {model: smollm2-135m}")


def test_a_length_that_no_answer_fits_into(trial):
    trial.study(WRITER)
    expected = "systems.writer: training.max_length is 16, but a prompt with the shortest answer has"
    with pytest.raises(ConfigError, match=expected):
        preflight.check_study("trial", "writer:model.training.max_length=16")


def test_an_adapter_for_a_layer_that_does_not_exist(trial):
    trial.study(WRITER)
    expected = "systems.writer: lora.target_modules: no linear layer is called k_prj, but down_proj, "
    with pytest.raises(ConfigError, match=expected):
        preflight.check_study("trial", "writer:model.lora.target_modules=[q_proj,k_prj]")
