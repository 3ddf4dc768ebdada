"""The keys of studies, with types, defaults and checks. A new key is declared here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ner_utils.config.schema import Name, Positive
from ner_utils.config.strict_yaml import Strict

Seed = Annotated[int, Field(gt=0, lt=2**32)]  # numpy takes no larger ones
Price = Annotated[float, Field(ge=0)]
# Ways to disturb test sentences, see data/perturb.
PERTURBATIONS = (
    "lower case", "upper case", "typos 1 %", "typos 3 %", "typos 5 %", "homoglyphs", "no punctuation",
    "emoji", "hashtags", "swap", "other origin", "instruction",
)  # fmt: skip
PERSON = ("person", "PER")  # names of the type for people in the corpora


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
    # A system that is listed twice votes with its next seed, too.
    ensemble_of: Annotated[list[str], Field(min_length=2)] | None = None
    label: str | None = None
    settings: Literal["declared", "tuned"] = "declared"  # those of model and overrides, or of `make tune`
    space: dict[str, Range | Annotated[list[Any], Field(min_length=2)]] = {}  # for `make tune`, by model key
    train_sentences: Positive | None = None
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None  # if fewer than the study's
    zero_shot: bool = False
    few_shot: Positive | None = None  # not trained; so many examples in the prompt, others for each seed
    weights_of: str | None = None  # another system of the study, with whose weights this one predicts
    selected_by: Literal["f1", "loss"] = "f1"  # with weights_of: its checkpoint of the lowest loss
    labels_from: str | None = None  # another system of the study, which labels more sentences to train on
    labelled_sentences: Positive | None = None  # so many; None is all others of train
    held_out: list[str] = []  # types that training neither shows nor names, but test has
    perturbed: Literal[*PERTURBATIONS] | None = None  # how its test sentences are disturbed
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
                raise ValueError(f"{', '.join(sorted(extra))}: an ensemble has only members, label and seeds")
            if not self.label:
                raise ValueError("an ensemble needs a label")
        if self.selected_by == "loss" and not self.weights_of:
            raise ValueError("selected_by: needs weights_of, the system whose checkpoints these are")
        if self.held_out and (self.untrained or self.weights_of):
            raise ValueError("held_out: only for systems that are trained")
        if self.labels_from and (self.untrained or self.weights_of or self.held_out or self.space):
            raise ValueError("labels_from: only for systems that are trained as declared, on all types")
        if self.labels_from and not self.train_sentences:
            raise ValueError("labels_from: needs train_sentences, the number of annotated ones")
        if self.labelled_sentences and not self.labels_from:
            raise ValueError("labelled_sentences: needs labels_from, the system that labels them")
        if (self.settings == "tuned") != bool(self.space):
            raise ValueError("space: expected with settings: tuned, and only then")
        if self.settings == "tuned" and self.weights_of:
            raise ValueError("settings: a system that uses the weights of another cannot be tuned")
        return self


class Tuning(Strict):
    """The search of `make tune`, the same for every system."""

    trials: Positive
    seed: Seed


class Window(Strict):
    """Parts of long sentences, in words. A mention of at most ``overlap`` words lies completely in some
    window."""

    words: Positive
    overlap: Positive

    @model_validator(mode="after")
    def _goes_on(self) -> Window:
        if 2 * self.overlap >= self.words:
            raise ValueError("overlap: expected less than half of words")
        return self


class Protocol(Strict):
    """Decisions that are made before a study runs."""

    primary_metric: Literal["micro_f1", "macro_f1"]
    comparisons: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    # Points of the primary metric below which a difference does not matter; without it, no text can say that
    # two systems are equally good.
    margin: Annotated[float, Field(gt=0)] | None = None
    dev_evaluations: Positive  # of a run, equally spaced over its training, the last one at its end
    dev_sample: Positive | None  # sentences for each evaluation of a generator; None is all of dev
    test_sentences: Positive | None = None  # a sample of test, the same for all runs; None is all
    dev_predictions: Positive | None = None  # dev sentences to predict, for temperatures and ensembles
    window: Window | None = None  # longer sentences are read in such parts, by all systems
    tuning: Tuning | None = None
    # The lowest and the highest price of an hour on such a machine.
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
    companions: list[Name] = []  # studies whose answers the thesis shows if this study does not have them
    main_systems: list[Name] = []  # those in the figures of the text, if not all; the appendix shows all

    def seeds_of(self, name: str) -> list[int]:
        """The seeds of a system: 0 alone if it is zero-shot."""
        system = self.systems[name]
        return [0] if system.zero_shot else system.seeds or self.seeds

    @property
    def first_pair(self) -> tuple[str, str]:
        """Two systems to show next to each other: those of the first declared comparison, or, without one,
        the first two; a single system twice."""
        names = next(iter(self.protocol.comparisons), list(self.systems)[:2])
        return names[0], names[-1]

    @model_validator(mode="after")
    def _known_names(self) -> Study:
        listed = {"datasets": self.datasets, "seeds": self.seeds, "companions": self.companions}
        listed |= {f"systems.{name}.seeds": system.seeds or [] for name, system in self.systems.items()}
        listed |= {"protocol.comparisons": [frozenset(pair) for pair in self.protocol.comparisons]}
        for key, values in listed.items():
            if len(set(values)) < len(values):
                raise ValueError(f"{key} names one twice")
        for name, system in self.systems.items():
            if system.seeds and (system.zero_shot or not set(system.seeds) <= set(self.seeds)):
                raise ValueError(f"systems.{name}.seeds: expected some of {self.seeds}, not of zero-shot")
            if system.zero_shot and system.few_shot:
                raise ValueError(f"systems.{name}: zero_shot or few_shot, not both")
            if system.settings == "tuned" and not self.protocol.tuning:
                raise ValueError(f"systems.{name}.settings: needs protocol.tuning")
            if system.ensemble_of:
                self._check_ensemble(name, system.ensemble_of)
            if system.labels_from:
                self._check_labels(name, system)
        named = {"protocol.comparisons": [name for pair in self.protocol.comparisons for name in pair]}
        for key, names in (named | {"main_systems": self.main_systems}).items():
            if unknown := set(names) - set(self.systems):
                known = ", ".join(self.systems)
                raise ValueError(f"{key} names {min(unknown)!r}; systems are {known}")
        if disturbed := [name for name in self.main_systems if self.systems[name].perturbed]:
            raise ValueError(f"main_systems: {disturbed[0]} is tested on disturbed sentences")
        for pair in self.protocol.comparisons:
            if pair[0] == pair[1]:
                raise ValueError(f"protocol.comparisons: {pair[0]} cannot be compared with itself")
            a, b = (self.seeds_of(name) for name in pair)
            if [0] not in (a, b) and not set(a) & set(b):
                raise ValueError(
                    f"protocol.comparisons: runs of {pair[0]} and {pair[1]} cannot be paired: they share no "
                    "seed"
                )
        return self

    def _check_labels(self, name: str, system: System) -> None:
        where, labeller = f"systems.{name}.labels_from", self.systems.get(system.labels_from)
        if labeller is None or labeller.ensemble_of or labeller.labels_from or labeller.perturbed:
            raise ValueError(f"{where}: {system.labels_from!r} is no single system of this study")
        if labeller.weights_of == name:
            raise ValueError(f"{where}: {system.labels_from} has the weights of {name}")
        seeds = self.seeds_of(system.labels_from)
        if seeds != [0] and not set(self.seeds_of(name)) <= set(seeds):
            raise ValueError(f"{where}: {system.labels_from} lacks a seed of {name}")
        if not labeller.untrained:
            gold = self.systems[labeller.weights_of] if labeller.weights_of else labeller
            if gold.held_out:
                raise ValueError(f"{where}: {system.labels_from} does not know {gold.held_out[0]}")
            if (gold.train_sentences or system.train_sentences + 1) > system.train_sentences:
                raise ValueError(
                    f"{where}: {system.labels_from} was trained on sentences that it would label"
                )

    def _check_ensemble(self, name: str, members: list[str]) -> None:
        if not self.protocol.dev_predictions:
            raise ValueError(f"systems.{name}: an ensemble learns from protocol.dev_predictions")
        where = f"systems.{name}.ensemble_of"
        for member in members:
            if member not in self.systems or self.systems[member].ensemble_of:
                raise ValueError(f"{where}: {member!r} is no single system of this study")
            if self.systems[member].perturbed:
                raise ValueError(f"{where}: {member} predicts no dev sentences to learn from")
            if members.count(member) > len(self.systems[member].seeds or self.seeds):
                raise ValueError(f"{where}: {member} has fewer seeds than places")
            if members.count(member) > 1 and self.systems[member].zero_shot:
                raise ValueError(f"{where}: {member} is zero-shot, and has no other seed")
