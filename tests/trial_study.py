"""Fixtures: a small study on a corpus of three files, all to be changed by tests, and its check."""

import json

import pytest

from ner_utils import data
from ner_utils.experiments import preflight

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
