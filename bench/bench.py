"""`make bench`: how fast is the project's work, compared with the code that a user would write instead?

Both ways of a row do the same work by turns: same machine, weights, sentences and precision, and the same
predictions. The ratio is that of their median rates, its spread that of single turns. The floor is the rate
that the machine allows if all arithmetic runs at the speed of a large matrix product, or all weights are read
at the speed of a long sum. README's commands are timed first, in a fresh clone; last come prediction and
scoring of 1, 3 and 10 times as many sentences. Prints tables and writes ``results/bench/bench.json``; log.md
lists the experiments.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from statistics import median

import baselines
import fit
import measure
import rows

from ner_utils import config, data, paths, sealed
from ner_utils.results import provenance


def describe(row: measure.Row) -> list[str]:
    """A row of the printed table."""
    ours, theirs = median(row.ours), median(row.theirs)
    ratio = "{:.2f}× ({:.2f} to {:.2f})".format(*row.ratio)
    floor = f"{ours / row.floor:.0%} of {row.floor:.1f}" if row.floor else "–"
    aim = f"{row.reach:g}×" if row.reach else "–"
    return [row.what, row.against, ratio, aim, f"{ours:.2f}", f"{theirs:.2f}", floor, row.note]


def cell(value: object) -> str:
    """A number or a text in a printed table."""
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def show(table: Iterable[Iterable[str]]) -> None:
    """Print a table in columns."""
    table = [list(cells) for cells in table]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(text.ljust(width) for text, width in zip(cells, widths, strict=True)).rstrip())


def main() -> None:
    """Run all rows, print and store them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1, help="share of sentences; not stored below 1")
    parser.add_argument(
        "--full-size", action="store_true", help="Qwen3.5-4B and DeBERTa-v3-large, random weights"
    )
    parser.add_argument("--layers", type=int, help="of the full-size models, to try them without a GPU")
    options = parser.parse_args()
    scale = options.scale
    size = {name: max(4, int(scale * number)) for name, number in rows.SIZES.items()}
    dataset = (
        "wnut17"
        if any((path / "wnut17train.conll").is_file() for path in paths.data_dirs("wnut17"))
        else "demo"
    )
    paths.RUNS = paths.RUNS / "bench" / str(int(time.time()))
    large = baselines.full_size(paths.RUNS, options.layers) if options.full_size else {}
    rows.FULL_SIZE.update(large)
    corpus = data.load(dataset, config.load_dataset(dataset))
    machine = measure.Machine.measured()
    speeds = f"{machine.flops / 1e9:.0f} GFLOP/s, memory {machine.bytes / 1e9:.0f} GB/s"
    print(f"{dataset}; a matrix product reaches {speeds}", flush=True)
    commands = rows.workflow() if scale == 1 and not options.full_size else []
    work = (dataset, corpus, machine, size)
    table = [*rows.import_rows(), *rows.encoder_rows(*work)]
    run, adapter, note = rows.trained_adapter(dataset, corpus, size)
    table += rows.generation_rows(run, adapter, corpus, machine, size)
    few = size["llm training"]
    for quantised, said in ((True, note), (False, "same loss and gradients by test")):
        table.append(rows.llm_training_row(dataset, corpus, machine, few, "smollm2-qlora", quantised, said))
    if dataset == "wnut17" and not options.full_size:
        table += rows.larger_model_rows(corpus, size)
    grown = rows.growth(dataset, run, adapter, corpus, size)
    titles = ["what", "against", "ratio (turns)", "aim", "ours, /s", "other, /s", "floor, /s", ""]
    show([titles, *map(describe, table)])
    names = {"minilm": "deberta-v3-large", "smollm2-qlora": "qwen3.5-4b"}
    memory = fit.full_size({names[system]: folder for system, folder in large.items()}) if large else []
    for records in (grown, commands, memory):
        if records:
            show([list(records[0]), *(map(cell, record.values()) for record in records)])
    stored = {"dataset": dataset, **machine._asdict(), **provenance.environment()}
    stored["rows"] = [row._asdict() | {"ratio": row.ratio} for row in table]
    stored |= {"growth": grown, "commands": commands, "memory": memory}
    if scale == 1:
        name = "bench-gpu.json" if options.full_size else "bench.json"
        sealed.write_json(paths.RESULTS / "bench" / name, stored)


if __name__ == "__main__":
    main()
