"""Models of GLiNER2: what they learn from, what is read, what is refused."""

import importlib.util
import json
import shutil
import subprocess
import sys

import pytest
from conftest import refused

from ner_utils import config, paths, scoring
from ner_utils.config import ConfigError
from ner_utils.config.schema import GlinerModel
from ner_utils.config.strict_yaml import check
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span
from ner_utils.experiments import experiment, model_check
from ner_utils.models import gliner
from ner_utils.models.gliner import extractor, predictor
from ner_utils.sharing import model_folder

ADA = Sentence("a", None, ("Ada", "King Noel", "met", "Ada"), (Span(0, 2, "PER"), Span(3, 4, "PER")))


def test_what_it_learns_from(tiny_gliner):
    run = tiny_gliner(more={"type_names": {"ORG": "firm"}})
    names = extractor.names_of(run, hidden=("LOC", "ANIM"))
    assert [*names.items()][:3] == [("person", "PER"), ("firm", "ORG"), ("biological entity", "BIO")]
    text, schema = extractor.example(ADA, names)
    king = "Ada King\N{NO-BREAK SPACE}Noel"
    assert text == f"{king} met Ada ."
    first, second = {"text": king, "start": 0, "end": 13}, {"text": "Ada", "start": 18, "end": 21}
    assert schema["entities"] == dict.fromkeys(names, []) | {"person": [first, second]}


def test_the_library_learns_the_gold_spans(tiny_gliner, make_tiny_gliner, twenty):
    model, names = extractor.load_extractor(make_tiny_gliner()), extractor.names_of(tiny_gliner())
    sentences = [*twenty, ADA]
    examples = [extractor.example(each, names) for each in sentences]
    batch = model.processor.collate_fn_inference(examples, 40, build_targets=True)
    for sentence, labels in zip(sentences, batch.structure_labels, strict=True):
        ((_, (places,)),) = labels
        found = {
            (start, end + 1, kind)
            for kind, mentions in zip(names.values(), places, strict=True)
            for start, end in mentions
        }
        assert found == set(map(tuple, sentence.spans))


def test_of_spans_that_overlap_the_surest_is_kept():
    def said(start, end, confidence):
        return {"start": start, "end": end, "confidence": confidence}

    found = {
        "entities": [
            {"person": [said(0, 13, 0.6), said(18, 21, 0.9)], "place": [said(4, 17, 0.8), said(18, 23, 1.0)]}
        ]
    }
    read = extractor._prediction(ADA, found, {"person": "PER", "place": "LOC"})
    assert read.spans == (Span(1, 3, "LOC"), Span(3, 4, "PER"))
    assert read.confidences == pytest.approx((-0.2231, -0.1054), abs=1e-4)
    assert extractor._prediction(ADA, {"entities": []}, {}).spans == ()


def test_words_that_cannot_be_predicted():
    long = Sentence("b", None, tuple("abcdef"), (Span(0, 3, "PER"), Span(3, 5, "PER"), Span(5, 6, "LOC")))
    assert predictor.lost_words([ADA, long], 4, 2) == {"lost_words": 2, "lost_mentions": 3}


@pytest.mark.slow
def test_parts_of_a_batch_have_the_loss_of_the_whole(tiny_gliner, twenty, tmp_path, monkeypatch):
    losses = []
    for parts in (1, 4):
        run = tiny_gliner(training={"epochs": 4, "learning_rate": 1.0e-9})  # dropout differs, weights do not
        monkeypatch.setattr(paths, "RUNS", tmp_path / str(parts))
        run.scratch.mkdir(parents=True)
        losses.append(gliner.train_gliner(run, twenty, twenty, parts)["losses"])
    assert len(losses[0]) > 1
    assert losses[0] == [[step, pytest.approx(loss, rel=0.3)] for step, loss in losses[1]]


@pytest.mark.slow
def test_a_sentence_that_the_library_leaves_out_is_an_error(tiny_gliner, twenty, tmp_path, monkeypatch):
    """It prints what went wrong, and counts a loss of 0."""
    run = tiny_gliner()
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    run.scratch.mkdir(parents=True)
    monkeypatch.setattr("gliner2.models.span.model.SpanExtractorModel._compute_sample_loss", None)
    with pytest.raises(RuntimeError, match="the loss of a sentence could not be computed"):
        gliner.train_gliner(run, twenty, twenty)


@pytest.mark.slow
def test_it_learns_and_travels(tiny_gliner, twenty, demo, tmp_path):
    """Its checkpoint predicts alone as in a batch, and with the library alone as here."""
    run = tiny_gliner(training={"epochs": 60, "batch_size": 10}, train_sentences=None)
    record = gliner.train_gliner(run, twenty, twenty)
    checkpoint = experiment.best_checkpoint(run, record)
    said, cost = gliner.predict_with_gliner(run, checkpoint, twenty)
    f1 = scoring.score([each.spans for each in twenty], [each.spans for each in said]).f1
    assert f1 == pytest.approx(max(look["dev_f1"] for look in record["looks"])) and f1 > 0.3
    alone = [gliner.predict_with_gliner(run, checkpoint, [each])[0][0].spans for each in twenty[:3]]
    assert alone == [each.spans for each in said[:3]]
    assert cost["failed_sentences"] == 0 and cost["prediction_truncation"]["lost_words"] == 0
    untrained, cost = gliner.predict_with_gliner(run, None, twenty)
    assert untrained != said and cost["parameters"]["trainable"] == 0 < cost["parameters"]["total"]

    model_folder._write_weights(run, checkpoint, tmp_path, adapter=False)
    card = (model_folder.paths.ROOT / "ner_utils/sharing/model_card.md.jinja").read_text()
    code = card.split("```python\n")[1].split("```")[0]
    code = code.replace("{{ types.values() | list | tojson }}", json.dumps([*run.dataset.types.values()]))
    code = code.replace("{{ run.model.threshold }}", "0.5").partition("print(")[0]
    code += "import json, sys\nassert 'ner_utils' not in sys.modules\n"
    code += f"texts = {[extractor.text_of(each) for each in twenty]}\n"
    code += "print(json.dumps([model.extract_entities(text, types)['entities'] for text in texts]))\n"
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    kinds = {name: kind for kind, name in run.dataset.types.items()}
    for sentence, mine, theirs in zip(twenty, said, json.loads(done.stdout.splitlines()[-1]), strict=True):
        of_library = {(kinds[name], text) for name, found in theirs.items() for text in found}
        ours = {(kind, " ".join(sentence.tokens[start:end])) for start, end, kind in mine.spans}
        assert ours <= of_library


def test_what_is_refused(tiny_gliner, tmp_path, monkeypatch):
    model = json.loads(tiny_gliner().model.model_dump_json())
    lora = {"r": 2, "alpha": 4, "dropout": 0.0, "target_modules": "all-linear"}
    assert "lora: Input should be None" in refused(check, GlinerModel, model | {"lora": lora}, "x")
    assert "threshold" in refused(check, GlinerModel, model | {"threshold": 1.5}, "x")
    whole = Sentence("c", None, ("a",) * 50, ())

    def checked(run):
        return list(model_check.check_run(run, {"test": [whole, ADA]}))

    assert "max_length 40, in words, cuts 1 of 2" in checked(tiny_gliner())[0]
    assert checked(tiny_gliner(untrained=True, train_sentences=None)) == []
    folder = tmp_path / "model"
    shutil.copytree(tiny_gliner().model.weights.folder, folder)
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    with pytest.raises(ConfigError, match="no model.safetensors, and nothing else is loaded"):
        checked(tiny_gliner(more={"weights": {"folder": str(folder)}}))
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="holds no model of GLiNER2, but bert"):
        checked(tiny_gliner(more={"weights": {"folder": str(folder)}}))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gliner2" else find(name))
    with pytest.raises(ConfigError, match=r"pip install 'ner-study-kit\[gliner\]'"):
        checked(tiny_gliner())


def test_it_predicts_untrained_but_takes_no_examples(tiny_gliner, trial):
    model = json.loads(tiny_gliner().model.model_dump_json())
    (trial.studies.parent / "models" / "open.yaml").write_text(json.dumps(model))
    from trial_study import STUDY

    trial.study(STUDY.replace("{model: minilm}", "{model: open, zero_shot: true}"))
    run = config.load_run("trial", "mine", "tagger", 0)
    assert run.untrained and run.stages == {"data": 1, "gliner": 1}
    assert "training" not in run.identity["model"] and "head_learning_rate" not in run.identity["model"]
    trial.study(STUDY.replace("{model: minilm}", "{model: open, few_shot: 2}"))
    assert "few_shot: Tiny GLiNER cannot predict so" in refused(config.load_run, "trial", "mine", "tagger", 1)
