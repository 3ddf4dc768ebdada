"""What the configuration of a study may hold; `config` reads it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ner_utils.config.schema import Name, Positive, Strict

Seed = Annotated[int, Field(gt=0, lt=2**32)]  # numpy takes no larger ones
Price = Annotated[float, Field(ge=0)]
# Ways to disturb test sentences, see data/perturb.
PERTURBATIONS = (
    "lower case", "upper case", "typos 1 %", "typos 3 %", "typos 5 %", "homoglyphs", "no punctuation",
    "emoji", "hashtags", "swap", "other origin", "instruction",
)  # fmt: skip
PERSON = ("person", "PER")  # what corpora call that type


class Range(Strict):
    """Values between two bounds, drawn evenly, or evenly in the logarithm."""

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError("expected low < high, and low > 0 with log")
        return self


class System(Strict):
    """A model as a study uses it, or an ensemble of other systems."""

    model: Name | None = None
    # A system that stands twice votes with its next seed, too.
    ensemble_of: Annotated[list[str], Field(min_length=2)] | None = None
    label: str | None = None
    settings: Literal["declared", "tuned"] = "declared"  # as model and overrides say, or as `make tune` found
    space: dict[str, Range | Annotated[list[Any], Field(min_length=2)]] = {}  # of `make tune`, by model key
    train_sentences: Positive | None = None
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None  # where fewer than the study's do
    zero_shot: bool = False
    few_shot: Positive | None = None  # not trained, but shown so many examples; each seed draws others
    weights_of: str | None = None  # another system of the study, whose weights this one predicts with
    selected_by: Literal["f1", "loss"] = "f1"  # with weights_of: the other's checkpoint of the lowest loss
    held_out: list[str] = []  # types that training neither shows nor names, and test asks for
    perturbed: str | None = None  # it meets test disturbed in this way, one of `PERTURBATIONS`
    overrides: dict[str, Any] = {}

    @property
    def untrained(self) -> bool:
        return self.zero_shot or self.few_shot is not None

    @model_validator(mode="after")
    def _one_kind(self) -> System:
        if (self.model is None) == (self.ensemble_of is None):
            raise ValueError("give exactly one of the keys model and ensemble_of")
        if self.ensemble_of:
            if extra := set(self.model_dump(exclude_defaults=True)) - {"ensemble_of", "label", "seeds"}:
                raise ValueError(f"{', '.join(sorted(extra))}: an ensemble has members alone")
            if not self.label:
                raise ValueError("an ensemble needs a label")
        if self.selected_by == "loss" and not self.weights_of:
            raise ValueError("selected_by: name the system whose checkpoints these are in weights_of")
        if self.held_out and (self.untrained or self.weights_of):
            raise ValueError("held_out: only what is trained can be kept from seeing types")
        if (self.settings == "tuned") != bool(self.space):
            raise ValueError("space: what is tuned has one, and nothing else does")
        if self.settings == "tuned" and (self.untrained or self.weights_of):
            raise ValueError("settings: only what is trained can be tuned")
        return self


class Tuning(Strict):
    """What `make tune` may spend, the same for every system."""

    trials: Positive
    seed: Seed


class Protocol(Strict):
    """What is decided before a study runs."""

    primary_metric: Literal["micro_f1", "macro_f1"]
    comparisons: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    # Points of the primary metric below which no difference matters; only with it can a text rule one out.
    margin: Annotated[float, Field(gt=0)] | None = None
    dev_evaluations: Positive  # of a run, equally spaced over its training, the last one at its end
    dev_sample: Positive | None  # for each evaluation of a generator; None is all of dev
    test_sentences: Positive | None = None  # a seeded sample of test, for a quick study
    dev_predictions: Positive | None = (
        None  # dev sentences that are predicted, too: what ensembles learn from
    )
    tuning: Tuning | None = None
    # What an hour of the machine costs, the lowest and the highest price of its kind.
    dollars_per_hour: Annotated[list[Price], Field(min_length=2, max_length=2)] | None = None
    latency_sentences: Positive
    resamples: Positive


class Study(Strict):
    """Systems × datasets × seeds, and the protocol under which they are compared."""

    title: str
    kind: Literal["demonstration", "study"]
    question: str
    datasets: Annotated[list[Name], Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    systems: Annotated[dict[Name, System], Field(min_length=1)]
    protocol: Protocol
    companions: list[Name] = []  # studies whose answers the thesis shows where this study does not ask

    @model_validator(mode="after")
    def _known_names(self) -> Study:
        for key, values in (("datasets", self.datasets), ("seeds", self.seeds)):
            if len(set(values)) < len(values):
                raise ValueError(f"{key} names one twice")
        for name, system in self.systems.items():
            if system.seeds and (system.zero_shot or not set(system.seeds) <= set(self.seeds)):
                raise ValueError(f"systems.{name}.seeds: expected some of {self.seeds}, not of zero-shot")
            if system.zero_shot and system.few_shot:
                raise ValueError(f"systems.{name}: zero_shot or few_shot, not both")
            if system.settings == "tuned" and not self.protocol.tuning:
                raise ValueError(f"systems.{name}.settings: protocol.tuning says nothing of trials")
            if system.ensemble_of:
                self._check_ensemble(name, system.ensemble_of)
        for pair in self.protocol.comparisons:
            for system in pair:
                if system not in self.systems:
                    raise ValueError(
                        f"protocol.comparisons names {system!r}; systems are {', '.join(self.systems)}"
                    )
            numbers = [self._runs_of(name) for name in pair]
            if len({*numbers} - {1}) > 1:
                raise ValueError(
                    f"protocol.comparisons: runs of {pair[0]} and {pair[1]} cannot be paired: they have "
                    f"{numbers[0]} and {numbers[1]} seeds"
                )
        return self

    def _runs_of(self, name: str) -> int:
        """How many runs a system has on a corpus."""
        system = self.systems[name]
        return 1 if system.zero_shot else len(system.seeds or self.seeds)

    def _check_ensemble(self, name: str, members: list[str]) -> None:
        if not self.protocol.dev_predictions:
            raise ValueError(
                f"systems.{name}: an ensemble learns from protocol.dev_predictions, say how many"
            )
        for member in members:
            if member not in self.systems or self.systems[member].ensemble_of:
                raise ValueError(f"systems.{name}.ensemble_of: {member!r} is no single system of this study")
            if self.systems[member].perturbed:
                raise ValueError(
                    f"systems.{name}.ensemble_of: {member} predicts no dev sentences to learn from"
                )
            if members.count(member) > len(self.systems[member].seeds or self.seeds):
                raise ValueError(f"systems.{name}.ensemble_of: {member} has fewer seeds than places")
            if members.count(member) > 1 and self.systems[member].zero_shot:
                raise ValueError(f"systems.{name}.ensemble_of: {member} is zero-shot, and has no other seed")
