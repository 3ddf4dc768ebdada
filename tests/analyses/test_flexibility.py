"""Types held out, renamed, defined, shuffled: what a model is shown, asked, and scored on."""

import pytest
from conftest import show

from ner_utils import config, data
from ner_utils.analyses import flexibility
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.experiments import experiment
from ner_utils.models import generation, weights
from ner_utils.models.generation import qlora
from ner_utils.thesis.numbers import result_numbers

STUDY = """
title: Flexible
kind: demonstration
question: What can be asked?
datasets: [demo]
seeds: [1]
systems:
  minilm: {model: minilm, train_sentences: 40}
  without: {model: minilm, label: Without, train_sentences: 40, held_out: [ANIM, PER]}
  writer: {model: smollm2-135m, label: Writer, train_sentences: 40, held_out: [ANIM, PER]}
  renamed: {model: smollm2-135m, label: Renamed, weights_of: writer,
            overrides: {type_names: {PER: human being}}}
  shuffled: {model: smollm2-135m, label: Shuffled, train_sentences: 40, overrides: {type_order: shuffled}}
  by-loss: {model: smollm2-135m, label: By loss, weights_of: shuffled, selected_by: loss,
            overrides: {type_order: shuffled}}
protocol:
  primary_metric: micro_f1
  comparisons: [[renamed, writer]]
  dev_evaluations: 2
  dev_sample: 4
  test_sentences: 60
  latency_sentences: 1
  resamples: 50
"""


@pytest.fixture
def run_of(add_study):
    add_study("flexible", STUDY)
    return lambda system: config.load_run("flexible", "demo", system, 1)


def prompter(run, without=()):
    return generation.Prompter(run, weights.resolve(run.model.weights), without)


def test_training_neither_shows_nor_names_what_is_held_out(run_of, demo):
    run = run_of("writer")
    sentences = data.training_sentences(run, demo)
    assert len(sentences) == 40
    assert {span.type for s in sentences for span in s.spans}.isdisjoint({"ANIM", "PER"})
    learning = prompter(run, run.held_out)
    assert "person" not in learning.format.instruction()
    assert "location" in learning.format.instruction()
    asking = prompter(run)
    assert "person" in asking.format.instruction()
    assert run_of("renamed").held_out == run.held_out


def test_names_are_those_of_the_instruction(run_of):
    shape = prompter(run_of("renamed")).format
    assert "human being" in shape.instruction()
    assert "person" not in shape.instruction()
    assert shape.read('[{"text": "Ada", "type": "human being"}]', ("Ada",)).spans == [(0, 1, "PER")]
    assert shape.read('[{"text": "Ada", "type": "person"}]', ("Ada",)).dropped["unknown_type"] == 1


def test_definitions_stand_in_the_instruction(run_of):
    run = run_of("writer")
    defined = run.dataset.model_copy(
        update={"definitions": {kind: f"what {kind} is" for kind in run.dataset.types}}
    )
    model = run.model.model_copy(update={"definitions": True})
    asked = run.model_copy(update={"dataset": defined, "model": model})
    assert "animal: what ANIM is" in prompter(asked).format.instruction()
    assert "what ANIM is" not in prompter(asked, ["ANIM"]).format.instruction()
    assert asked.fingerprint != run.model_copy(update={"model": model}).fingerprint


def test_each_sentence_has_an_order_of_its_own(run_of, demo):
    """In training, and the same each time; at prediction there is one."""
    run = run_of("shuffled")
    asks = prompter(run)
    texts = {asks.prompt(s, learning=True).split("types:")[1].split(".")[0] for s in demo["train"][:30]}
    assert len(texts) == 30
    assert len({tuple(sorted(text.strip().split(", "))) for text in texts}) == 1
    assert asks.example(demo["train"][0]) == prompter(run).example(demo["train"][0])
    shared = asks.tokenizer.decode(asks.shared_prefix())
    assert asks.format.instruction() in shared


def test_shuffled_lists_are_trained_on(make_tiny_llama, make_run, twenty):
    """Prompts share less, and the loss is that of the answers all the same."""
    overrides = {"max_new_tokens": 4, "type_order": "shuffled", "training.epochs": 1}
    run = make_run("tiny-shuffled", overrides, 1, make_tiny_llama())
    record = qlora.train_generator(run, twenty[:4], twenty[:2])
    assert (run.scratch / record["best_checkpoint"]).is_dir()
    assert (run.scratch / record["lowest_loss_checkpoint"]).is_dir()


def test_the_checkpoint_of_the_lowest_loss(run_of):
    run = run_of("by-loss")
    record = {"best_checkpoint": "checkpoint-9", "lowest_loss_checkpoint": "checkpoint-4"}
    assert experiment.best_checkpoint(run, record) == run.base.scratch / "checkpoint-4"
    assert experiment.best_checkpoint(run.base, record) == run.base.scratch / "checkpoint-9"
    assert run.fingerprint != run.base.fingerprint


def test_of_a_study(add_study, made_up):
    add_study("flexible", STUDY)
    results = made_up(name="flexible")
    frame = flexibility.scores(results).set_index("system")
    types = results.types.set_index(["system", "type"])
    held = ["ANIM", "PER"]
    mentions = types.loc["minilm"].loc[held, "mentions"].sum()
    assert frame.loc["minilm", "held_out.mentions"] == mentions > 0
    whole = results.summary.set_index("system").loc["minilm", "mentions"]
    assert frame.loc["minilm", "others.mentions"] == whole - mentions
    assert frame.loc["writer", "ways"] == "types held out"
    assert frame.loc["renamed", "ways"] == "types held out, types renamed"
    assert frame.loc["minilm", "ways"] == "as trained"
    numbers = result_numbers(results)
    assert numbers["study.flexible"].value == 5
    assert numbers["study.selected"].value == 1
    assert numbers["demo.writer.flexibility.held_out.f1"].value == frame.loc["writer", "held_out.f1"]
    assert "Types held out" in show("flexible", results)["tab_flexibility"]


def test_a_study_that_asks_for_nothing_else(plain_results):
    assert "no system for other types" in show("flexible", plain_results)["tab_flexibility"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("label: Without, train_sentences: 40, held_out: [ANIM, PER]",
         "label: Without, train_sentences: 40, held_out: [ANIMAL]", "held_out: demo has no type ANIMAL"),
        ("{PER: human being}", "{HUM: human being}", "type_names: demo has no type HUM"),
        ("{PER: human being}", "{PER: Animal}", "two types of demo share one name"),
        ("weights_of: shuffled, selected_by: loss", "train_sentences: 4, selected_by: loss", "needs weights"),
        ("weights_of: writer,", "weights_of: writer, held_out: [PER],", "only for systems that are trained"),
        ("{type_names: {PER: human being}}", "{definitions: true}", "demo.yaml does not define all types"),
        ("{type_names: {PER: human being}}", "{type_order: shuffled}", "type_order must be that of writer"),
    ],
)  # fmt: skip
def test_refused(add_study, old, new, message):
    assert old in STUDY
    add_study("flexible", STUDY.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        config.load_study("flexible")
