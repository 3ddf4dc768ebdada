"""What must a reader know before trusting the numbers? Warnings that the thesis prints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from ner_utils import efficiency
from ner_utils.results import provenance
from ner_utils.results.evaluation import Stored
from ner_utils.scoring import resampling

NAMED = 12  # systems that a warning names; the others are counted
BUSY = "times are not to be trusted, because the machine was busy while they were taken"
OVERLAP = "how far the types and texts that a GLiNER was trained on overlap with this corpus is not known"
EMPTY = "no mention is predicted in any sentence"
FAILED = "sentences could not be predicted, and count as empty"
DIVERGED = "the loss on dev is not a number, so the training diverged"
# Raw answers are not stored, so that they cannot be read again.
OLDER = "answers were read by older rules; at most these numbers of them would be read differently today"


def cautions(stored: Sequence[Stored]) -> list[str]:
    """All warnings about the runs of a study, each once."""
    lines = [line for item in stored for line in provenance.warnings(item.run, item.manifest)]
    machines = {tuple(item.manifest["machine"].values()): item.run.system for item in stored}
    if len(machines) > 1:
        made = (f"{system} on {', '.join(machine)}" for machine, system in machines.items())
        lines.append(f"times and memory were taken on different machines: {'; '.join(made)}")
    lines += [*few_documents(stored), *doubts(stored), *_of_systems(stored, _limits, [OLDER, OVERLAP])]
    return list(dict.fromkeys(lines))


def few_documents(stored: Iterable[Stored]) -> list[str]:
    """A sentence on each corpus whose test documents are too few to be resampled."""
    lines = {}
    for item in stored:
        documents = [row["document"] for row in item.counts]
        if any(documents) and resampling.grouping(documents).kind == "sentences":
            lines[item.run.dataset_name] = (
                f"{item.run.dataset.label}: the test sentences come from fewer than {resampling.LEAST} "
                "documents, so that intervals and tests resample sentences and may be too narrow"
            )
    return list(lines.values())


def doubts(stored: Iterable[Stored]) -> list[str]:
    """A line each on systems whose times are not to be trusted, which predict nothing, failed on sentences,
    or diverged in training, with the systems' ids; none where all is well."""
    return _of_systems(stored, _doubts, [BUSY, EMPTY, FAILED, DIVERGED])


Details = Iterator[tuple[str, str]]  # a warning, and what it says of one run


def _doubts(item: Stored) -> Details:
    for doubt in efficiency.doubts(item.efficiency):
        yield BUSY, doubt.partition(" (")[0]
    if not item.metrics["predicted"]:
        yield EMPTY, f"seed {item.run.seed}"
    if failures := item.efficiency.get("failed_sentences"):
        yield FAILED, f"{failures} with seed {item.run.seed}"
    if not all(math.isfinite(each["dev_loss"]) for each in item.efficiency.get("looks", ())):
        yield DIVERGED, f"seed {item.run.seed}"


def _limits(item: Stored) -> Details:
    if share := provenance.read_otherwise(item.run, item.manifest):
        yield OLDER, f"seed {item.run.seed}: {share}"
    if item.run.untrained and item.run.model.approach == "gliner":
        yield OVERLAP, "zero-shot"


def _of_systems(
    stored: Iterable[Stored], details: Callable[[Stored], Details], lines: Iterable[str]
) -> list[str]:
    """Those of the lines for which runs have details, in this order, each with its systems and details."""
    by_line: dict[str, dict[str, dict[str, None]]] = {line: {} for line in lines}
    for item in stored:
        for line, detail in details(item):
            system = f"{item.run.system} on {item.run.dataset_name}"
            by_line[line].setdefault(system, {})[detail] = None
    return [f"{line}: {_listed(systems)}" for line, systems in by_line.items() if systems]


def _listed(systems: dict[str, dict[str, None]]) -> str:
    named = [f"{name} ({', '.join(parts)})" for name, parts in list(systems.items())[:NAMED]]
    return "; ".join(named) + (f"; and {len(systems) - NAMED} more" if len(systems) > NAMED else "")
