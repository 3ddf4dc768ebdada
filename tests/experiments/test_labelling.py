"""A system that learns from sentences which another one labels."""

import pytest

from ner_utils import config, data, paths
from ner_utils.config import ConfigError
from ner_utils.data.predictions import Prediction
from ner_utils.experiments import experiment

TEACHER = (
    "teacher: {model: minilm, label: Teacher, train_sentences: 64, seeds: [1], "
    "overrides: {training.epochs: 4}}"
)
STUDENT = "student: {model: minilm, train_sentences: 64, labels_from: %s, labelled_sentences: 40%s}"


@pytest.mark.parametrize(
    ("teacher", "student", "message"),
    [
        (TEACHER, STUDENT % ("nobody", ""), "labels_from: 'nobody' is no single system"),
        (TEACHER, STUDENT % ("student", ""), "labels_from: 'student' is no single system"),
        (
            "teacher: {model: minilm, label: T, weights_of: student}",
            STUDENT % ("teacher", ""),
            "has the weights",
        ),
        (TEACHER.replace("seeds", "held_out: [PER], seeds"), STUDENT % ("teacher", ""), "does not know PER"),
        (TEACHER.replace("64", "65"), STUDENT % ("teacher", ""), "trained on sentences that it would label"),
        (TEACHER.replace("train_sentences: 64, ", ""), STUDENT % ("teacher", ""), "that it would label"),
        (TEACHER, "student: {model: minilm, labels_from: teacher}", "needs train_sentences"),
        (TEACHER, "student: {model: minilm, labelled_sentences: 9}", "needs labels_from"),
        (
            TEACHER,
            STUDENT % ("teacher", ", held_out: [PER]"),
            "only for systems that are trained",
        ),
    ],
)
def test_what_is_refused(teacher, student, message, sketch):
    sketch("two", [teacher, student])
    with pytest.raises(ConfigError, match=message):
        config.load_study("two")


def test_a_teacher_has_every_seed_of_its_student(sketch):
    sketch("two", [TEACHER, STUDENT % ("teacher", "")])
    with pytest.raises(ConfigError, match="labels_from: teacher lacks a seed of student"):
        config.load_study("two", "seeds=[1,2]")


def test_what_is_labelled_is_no_gold_sentence_of_either(sketch, demo):
    sketch("two", [TEACHER, STUDENT % ("teacher", "")])
    run = config.load_run("two", "demo", "student", 1)
    gold = {sentence.id for sentence in data.training_sentences(run, demo)}
    taught = {sentence.id for sentence in data.training_sentences(run.labels, demo)}
    further = {sentence.id for sentence in data.sentences_to_label(run, demo)}
    assert taught == gold and len(further) == 40 and not gold & further
    every = run.model_copy(update={"labelled_sentences": None})
    assert len(data.sentences_to_label(every, demo)) == len(demo["train"]) - 64
    assert run.fingerprint != run.model_copy(update={"labelled_sentences": 39}).fingerprint
    other = run.labels.model_copy(update={"train_sentences": 63})
    assert run.fingerprint != run.model_copy(update={"labels": other}).fingerprint


def test_raw_answers_to_test_are_not_replaced(sketch, demo, tmp_path, monkeypatch):
    """They are kept by ids, which may be those of sentences of train."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    sketch("two", ["teacher: {model: smollm2-135m, zero_shot: true}", STUDENT % ("teacher", "")])
    run, seen = config.load_run("two", "demo", "student", 1), []
    run.scratch.mkdir(parents=True)

    def predict(run, checkpoint, sentences):
        seen.extend(each.id for each in sentences)
        return [Prediction(each.id, each.spans) for each in sentences], {"prediction_seconds": {"model": 1}}

    monkeypatch.setattr(experiment, "predict_sentences", predict)
    assert experiment._label_sentences(run, demo)[0] == data.sentences_to_label(run, demo)
    assert len(seen) == 40 and not set(seen) & {each.id for part in demo.values() for each in part}


@pytest.mark.slow
def test_a_student_learns_from_its_teachers_labels(sketch, demo, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    head = TEACHER.replace("training.epochs: 4", "training.epochs: 4, head_learning_rate: 2.0e-2")
    sketch("two", [head, STUDENT % ("teacher", ", overrides: {training.epochs: 1}")])
    run = config.load_run("two", "demo", "student", 1)
    record = experiment.train_run(run, demo)
    assert record["labelled_sentences"] == 40 and record["labelling_seconds"] > 0 < record["teacher_seconds"]
    assert record["steps"] == -(-104 // run.model.training.batch_size)
    labels = run.scratch / "labels.jsonl"
    before = labels.stat().st_mtime_ns
    sentences, again = experiment._label_sentences(run, demo)
    assert labels.stat().st_mtime_ns == before and again["labels_f1"] == record["labels_f1"]
    checkpoint = experiment.best_checkpoint(run.labels, experiment.train_run(run.labels, demo))
    predicted, _ = experiment.predictor_of(run.labels)(run.labels, checkpoint, sentences)
    assert [each.spans for each in sentences] == [each.spans for each in predicted]
    gold = [each.spans for each in data.sentences_to_label(run, demo)]
    assert 0 < record["labels_f1"] < 1 and [each.spans for each in sentences] != gold
