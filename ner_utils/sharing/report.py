"""Writes a study as one HTML file for readers without this kit: ``make report STUDY=…``.

It holds the findings, figures, tables, advice, verdicts, provenance and an explorer of the sentences, and
loads nothing from anywhere. The text of corpora whose licence does not allow it is left out.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import jinja2
import pandas as pd

from ner_utils import config, data, messages, paths, sealed
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data.corpus import DataError
from ner_utils.explorer import mentions, view
from ner_utils.files import write_whole
from ner_utils.results import findings
from ner_utils.results.study import Results, load_results
from ner_utils.scoring import error_types
from ner_utils.sealed import ResultError
from ner_utils.sharing import plain_text
from ner_utils.thesis import advice, paper_claims

TEMPLATE = Path(__file__).with_name("report.html.jinja")
FIGURES = {
    "fig_f1": "Strict F1 of the systems, with 95 % intervals",
    "fig_types": "F1 by type",
    "fig_buckets": "F1 by properties of mentions",
    "fig_gain": "Differences between systems by properties of mentions",
    "fig_size": "F1 against parameters and cost",
    "fig_latency": "F1 against latency",
    "fig_memory": "F1 against memory",
    "fig_learning": "Evaluations on dev",
    "fig_reliability": "Confidence and share of right mentions",
}
# Columns of tables: the title and the number of decimal places, None for text.
Columns = dict[str, tuple[str, int | None]]
SYSTEM: Columns = {"corpus": ("corpus", None), "label": ("system", None)}
SCORES: Columns = SYSTEM | {
    "train_sentences": ("training sentences", 0),
    "labelled_sentences": ("labelled by a system", 0),
    "micro_f1": ("micro F1", 1),
    "micro_f1_low": ("95 % interval from", 1),
    "micro_f1_high": ("to", 1),
    "precision": ("precision", 1),
    "recall": ("recall", 1),
    "macro_f1": ("macro F1", 1),
    "failed": ("answers not readable", 1),
}
COSTS: Columns = SYSTEM | {
    "parameters_millions": ("parameters (10⁶)", 1),
    "trainable_millions": ("trained (10⁶)", 1),
    "training_seconds": ("training (s)", 0),
    "labelling_seconds": ("labelling (s)", 0),
    "teacher_seconds": ("training of the labeller (s)", 0),
    "training_memory_mib": ("training (MiB)", 0),
    "latency_p50_ms": ("latency (ms)", 0),
    "sentences_per_second": ("sentences/s", 1),
    "memory_mib": ("prediction (MiB)", 0),
}
COMPARISONS: Columns = {
    "corpus": ("corpus", None),
    "label_a": ("system", None),
    "label_b": ("compared with", None),
    "difference": ("difference", 1),
    "low": ("95 % interval from", 1),
    "high": ("to", 1),
    "smallest": ("smallest detectable", 1),
    "p": ("p", 4),
    "p_holm": ("p (Holm)", 4),
}


class Cell(NamedTuple):
    """A cell: what it shows, what it is sorted by ("" for no value), whether it is a number, and the facets
    of the explorer that it leads to."""

    text: str
    value: Any
    number: bool = False
    leads_to: str | None = None


class Table(NamedTuple):
    """A table of the report."""

    name: str
    caption: str
    columns: list[str]
    rows: list[list[Cell]]


def write_report(results: Results) -> Path:
    """Write the report next to the thesis, and return it. Raises `ResultError` where the analysis of the
    study has not run, or a generated file was changed."""
    sealed.verify_files(paths.thesis_digests(results.name), f"run make thesis STUDY={results.name}")
    explorers, notes = _explorers(results)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    folder = Path(mentions.__file__).parent
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        study=results.study,
        name=results.name,
        findings=plain_text.findings(results),
        figures=list(_figures(results.name)),
        tables=[_slim(each) for each in _tables(results, {each["dataset"] for each in explorers})],
        provenance=list(_provenance(results)),
        runs=_slim(_runs(results)),
        warnings=results.warnings,
        explorers=explorers,
        notes=notes,
        script=(folder / "explorer.js").read_text(encoding="utf-8"),
        style=(folder / "explorer.css").read_text(encoding="utf-8"),
    )
    target = paths.THESIS / f"report-{results.name}.html"
    write_whole(target, text.encode())
    return target


def _explorers(results: Results) -> tuple[list[dict[str, Any]], list[str]]:
    """What the explorer shows of each corpus on this machine, and what it cannot show."""
    shown, notes = [], []
    for name in results.study.datasets:
        dataset = config.load_dataset(name)
        if not all(data.at_hand(name, dataset, split) for split in ("train", "test")):
            notes.append(f"{dataset.label} was not on this machine when this report was made: no sentences.")
            continue
        if not dataset.quotable:
            notes.append(
                f"The licence of {dataset.label} does not allow to show its sentences: ids and spans alone. "
                "The notebook 06_explorer shows them on a machine that has the corpus."
            )
        main = [run.system for run in results.main.systems if run.dataset_name == name]
        others = [run.system for run in results.undisturbed.systems if run.dataset_name == name]
        order = list(dict.fromkeys([*results.study.first_pair, *main, *others]))
        seen = mentions.load_mentions(results.name, name, [system for system in order if system in others])
        shown.append({"dataset": name, "data": view.view_of(seen, text=dataset.quotable)})
    return shown, notes


# ---------------------------------------------------------------------------- figures
def _figures(study: str) -> Iterator[tuple[str, str]]:
    """The captions of a study's figures, each with its figure as an SVG in a data URL."""
    for name, caption in FIGURES.items():
        file = paths.FIGURES / study / f"{name}.pdf"
        if file.is_file():
            drawn = subprocess.run(["pdftocairo", "-svg", file, "-"], check=True, capture_output=True).stdout
            yield caption, f"data:image/svg+xml;base64,{base64.b64encode(drawn).decode()}"


# ----------------------------------------------------------------------------- tables
def _tables(results: Results, explored: set[str]) -> Iterator[Table]:
    shown = results.undisturbed
    yield _table("scores", "Strict scores on test, in percent: means over seeds", shown.summary, SCORES)
    if len(compared := results.comparisons):
        yield _table("comparisons", "Declared comparisons, in points of F1", compared, COMPARISONS)
    yield _by_type(shown, explored)
    yield _errors(shown, explored)
    yield _table("costs", "Costs: means over seeds", shown.summary, COSTS)
    if len(advised := advice.advise(results)):
        columns = _as_text("pair", "situation", "advice", "limits")
        yield _table("guide", "What to choose", advised, columns)
    rows = [
        {"pair": name, "paper": claim.paper, "claim": claim.statement, "verdict": text or "not tested"}
        for name, block in paper_claims.verdicts(results)
        for claim, text in block
    ]
    if rows:
        columns = _as_text("pair", "paper", "claim", "verdict")
        yield _table("ledger", "Claims of two papers, and what this study says", pd.DataFrame(rows), columns)


def _table(name: str, caption: str, frame: pd.DataFrame, columns: Columns) -> Table:
    """A table of some columns of a frame; those without any value are left out."""
    kept = [key for key in columns if not frame[key].isna().all()]
    rows = [[_cell(row[key], columns[key][1]) for key in kept] for row in frame.to_dict("records")]
    return Table(name, caption, [columns[key][0] for key in kept], rows)


def _slim(table: Table) -> Table:
    """The table without its corpora, if it has but one."""
    if table.columns[0] != "corpus" or len({row[0] for row in table.rows}) > 1:
        return table
    return table._replace(columns=table.columns[1:], rows=[row[1:] for row in table.rows])


def _cell(value: Any, digits: int | None, leads_to: str | None = None) -> Cell:
    if digits is None:
        return Cell(messages.visible(str(value)), value)
    if value is None or pd.isna(value):
        return Cell("–", "", number=True)
    least = 10**-digits
    text = f"< {least:.{digits}f}" if 0 < value < least / 2 else f"{value:,.{digits}f}".replace("-", "−")
    return Cell(text, value, True, leads_to)


def _as_text(*names: str) -> Columns:
    return {name: (name, None) for name in names}


def _by_type(results: Results, explored: set[str]) -> Table:
    """F1 of each type, a column for each system; a number leads to the mentions of the type."""
    systems = dict(zip(results.types["label"], results.types["system"], strict=True))
    rows = []
    for (dataset, corpus, kind), block in results.types.groupby(["dataset", "corpus", "type"], sort=False):
        scores = dict(zip(block["label"], block["f1"], strict=True))
        row = [_cell(corpus, None), _cell(kind, None), _cell(block["mentions"].iloc[0], 0)]
        for label, system in systems.items():
            link = _link(dataset, systems=system, type=kind) if dataset in explored else None
            row.append(_cell(scores.get(label), 1, link))
        rows.append(row)
    titles = ["corpus", "type", "mentions", *systems]
    return Table("types", "F1 by type, in percent: means over seeds", titles, rows)


def _errors(results: Results, explored: set[str]) -> Table:
    """Mentions by kind of error; a number leads to its sentences."""
    labels, rows = findings.labels(results), []
    for dataset, report in findings.study_findings(results, "differences").items():
        for system, numbers in report["errors"].items():
            row = [_cell(results.corpus_label(dataset), None), _cell(labels[system], None)]
            for kind in error_types.KINDS:
                link = _link(dataset, systems=system, a=view.LETTERS[kind]) if dataset in explored else None
                row.append(_cell(numbers[kind], 1, link))
            rows.append(row)
    titles = ["corpus", "system", *(view.OUTCOMES[kind] for kind in error_types.KINDS)]
    return Table("errors", "Mentions by outcome: means over seeds", titles, rows)


def _link(dataset: str, **facets: str) -> str:
    """A choice of facets in a corpus' explorer, as the page's address holds it."""
    return f"{dataset}|{urlencode(facets)}"


# ------------------------------------------------------------------------- provenance
def _provenance(results: Results) -> Iterator[tuple[str, str]]:
    for name, audit in results.audits.items():
        dataset = config.load_dataset(name)
        parts = audit["audit"]["splits"].items()
        sizes = ", ".join(f"{split} {part['sentences']:,}" for split, part in parts)
        yield f"Corpus {dataset.label}", f"{dataset.description}; {dataset.licence}; sentences: {sizes}"
    facts: dict[str, dict[str, None]] = {}
    for item in results.stored:
        for title, value in {**item.manifest["machine"], **item.manifest["versions"]}.items():
            facts.setdefault(title, {})[str(value)] = None
    yield from ((title, "; ".join(values)) for title, values in facts.items())


def _runs(results: Results) -> Table:
    columns = _as_text("corpus", "system", "seed", "fingerprint", "commit", "finished")
    rows = [
        (item.run.dataset.label, item.run.label, item.run.seed, item.run.fingerprint[:12])
        + (item.manifest["commit"], item.manifest["written"][:10])
        for item in results.stored
    ]
    return _table("runs", "Runs", pd.DataFrame(rows, columns=list(columns)), columns)


def main() -> None:
    """Write the report of the study that the command line names."""
    target = write_report(load_results(sys.argv[1]))
    print(f"{paths.relative(target)}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    with messages.errors_as_lines(ConfigError, DataError, ResultError):
        main()
