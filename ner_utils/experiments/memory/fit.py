"""Does a study fit? ``python -m ner_utils.experiments.memory.fit STUDY [OVERRIDES] [--card-gb 24]
[--refuse]``

Prints a table of what the study needs and which card holds it, before anything is downloaded. An estimate
warns; with ``--refuse`` the exit code is 1 if something does not fit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ner_utils import config, data, processes
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.experiments.memory.estimate import CARDS, GIB, PROCESS, RESERVE, Card, cpu, estimate

TITLES = [
    "corpus",
    "system",
    "parameters",
    "trained",
    "training",
    "prediction",
    "disk",
    "at least",
    "lengths",
    "",
]
BATCHES = {  # by approach and step: the key to lower where memory does not suffice
    ("tagging", "training"): "training.batch_size",
    ("tagging", "prediction"): "prediction_batch_tokens",
    ("generation", "training"): "training.batch_size",
    ("generation", "prediction"): "prediction_batch_size",
}
OTHERWISE = "lower model.training.max_length, or take a smaller model"


class Machine(NamedTuple):
    """Where this process computes: its name, the card if it is one, bytes of memory, and bytes to keep
    free."""

    name: str
    card: Card | None
    memory: int
    reserve: int


def this_machine() -> Machine:
    """The GPU of this machine, or its CPU if there is none."""
    import torch  # late: it takes seconds to import

    if torch.cuda.is_available():
        return Machine("the GPU", CARDS[-1], torch.cuda.get_device_properties(0).total_memory, RESERVE)
    return Machine("this machine, without a GPU,", None, processes.memory_limit(), 2 * PROCESS)


def configurations(runs: Iterable[Run]) -> list[Run]:
    """One run for each corpus and system that has a model: seeds need the same."""
    return list({(run.dataset_name, run.system): run for run in runs if not run.members}.values())


def warnings(runs: Iterable[Run]) -> Iterator[str]:
    """A line for each configuration that needs more memory than this machine has."""
    here = this_machine()
    for run in (run for run in configurations(runs) if run.model.architecture):
        need = estimate(run, here.card).peak + here.reserve
        if need > here.memory:
            yield (
                f"{run.system} on {run.dataset_name} needs about {need / GIB:.1f} GiB of memory, {here.name} "
                f"has {here.memory / GIB:.1f}; make fit STUDY={run.study} says more"
            )


def advice(run: Run, step: str, least: bool = False) -> str:
    """What to change where memory did not suffice for the ``training`` or the ``prediction`` of a run: the
    largest batch that fits by estimate, or something else if none does, or if the ``least`` was tried
    already."""
    key = BATCHES[run.model.approach, step]
    *parents, name = key.split(".")
    owner = getattr(run.model, parents[0]) if parents else run.model
    declared = getattr(owner, name)
    size = 1 if least else declared
    here = this_machine()
    try:
        while True:
            changed = owner.model_copy(update={name: size})
            model = run.model.model_copy(update={parents[0]: changed}) if parents else changed
            need = getattr(estimate(run.model_copy(update={"model": model}), here.card), step) + here.reserve
            if need <= here.memory or size == 1:
                break
            size //= 2
    except (ConfigError, MemoryError, OSError, RuntimeError):  # no architecture, or no memory to load torch
        return OTHERWISE if least else f"lower model.{key}, now {declared}"
    share = f"{need / GIB:.1f} of {here.memory / GIB:.1f} GiB"
    if least or need > here.memory:
        return f"by estimate, even model.{key}=1 needs {share}: {OTHERWISE}"
    if size == declared:
        return f"by estimate it needs {share}, so something else took memory; or lower model.{key}={declared}"
    return f"by estimate, model.{key}={size} fits ({share}), and {declared} does not"


def table(runs: Iterable[Run], gib: float | None) -> Iterator[list[str]]:
    """Rows of text, the titles first. The last column is the smallest card that holds a configuration, or
    whether a card of so many ``gib`` does."""
    yield TITLES
    for run in configurations(runs):
        on_cpu = run.model.weights.pypi and gib is None
        need = estimate(run, None if on_cpu else CARDS[-1])
        card = next((card for card in CARDS if card.gib >= gib), CARDS[-1]) if gib else need.smallest_card
        if on_cpu:
            verdict = "CPU"
        else:
            need = estimate(run, card or CARDS[-1])
            verdict = f"{card.gib} GB, {card.name}" if card else f"over {CARDS[-1].gib} GB"
        if gib:
            verdict = "fits" if need.fits(gib * GIB) else "does not fit"
        counts = (f"{number / 1e6:,.1f} M" for number in (need.parameters, need.trainable))
        sizes = (f"{size / GIB:.1f} GiB" for size in (need.training, need.prediction, need.disk))
        lengths = "" if need.source == "corpus" else "all at max_length"
        yield [run.dataset_name, run.system, *counts, *sizes, f"{need.minutes:,.0f} min", lengths, verdict]


def main() -> int:
    """Print the table of a study; the exit code is 1 if it is to refuse and something does not fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("overrides", nargs="?", default="")
    parser.add_argument("--card-gb", type=float, help="memory of a card: say what it holds")
    parser.add_argument("--refuse", action="store_true", help="exit with 1 where something does not fit")
    options = parser.parse_args()
    rows = list(table(config.runs_of(options.study, options.overrides), options.card_gb))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    if any(row[-1] == "CPU" for row in rows):
        speed = cpu()
        rates = f"{speed.flops / 1e9:.0f} GFLOP/s and {speed.bandwidth / 1e9:.0f} GB/s"
        print(f"CPU: {rates}, {speed.name} (`make bench` measures those of a processor)")
    return int(options.refuse and any(row[-1].startswith(("does not", "over")) for row in rows))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ConfigError, data.DataError) as error:
        sys.exit(f"error: {error}")
