"""Everything that a thesis takes from a study, written where LaTeX finds it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from ner_utils import analyses, paths, sealed
from ner_utils.analyses import flexibility, robustness
from ner_utils.files import write_whole
from ner_utils.rendering import benchmarks, figures, latex, plots
from ner_utils.results import export
from ner_utils.results.cautions import doubts, few_documents
from ner_utils.results.study import Results
from ner_utils.thesis import advice, claims, leads, numbers, paper_claims, result_tables

PARTS = {"held_out": "F1 on types held out", "others": "F1 on other types"}  # of `flexibility.scores`
# The leads that the generated discussion consists of, by its sections.
SECTIONS = {
    "Quality": ("quality", "comparisons", "conventions", "types", "differences", "ensembles"),
    "Answers and confidence": ("answers", "confidence", "contamination"),
    "Other training and test sets": ("label_efficiency", "flexible", "disturbed"),
    "Choosing a checkpoint": ("learning",),
    "Cost": ("cost",),
}


def write_for_thesis(results: Results) -> tuple[list[str], dict[str, bool]]:
    """Write everything, with a list of checksums; returns the names of figures and of the analyses' tables,
    and each claim's truth. Raises `ResultError` where an analysis was not run, and what `write_texts`
    raises."""
    names = figures.save_figures(results)
    names += analyses.write_answers(results)
    names += benchmarks.write_benchmarks(results.name)
    checked = write_texts(results)
    _seal(results.name)
    return names, checked


def write_texts(results: Results) -> dict[str, bool]:
    """Write numbers, tables, discussion and checked claims, and the study's overview and exports with its
    results; returns each claim's truth. Raises `claims.ClaimError` on a claim that cannot be evaluated, after
    everything else is written: numbers.tex lists the keys."""
    tables = result_tables.all_tables(results)
    tables |= {"tab_ledger": paper_claims.tab_ledger(results), "tab_guide": advice.tab_guide(results)}
    plots.save_for_thesis(results.name, tables)
    by_key = numbers.result_numbers(results).items()
    _write(results, "numbers.tex", (rf"\defresult{{{key}}}{{{number.text}}}" for key, number in by_key))
    made = leads.leads(results)
    _write(results, "leads.tex", (rf"\deflead{{{name}}}{{{text}}}" for name, text in made.items()))
    _write(results, "discussion.tex", [discussion(made)])
    write_whole(paths.RESULTS / results.name / "README.md", overview(results).encode())
    export.write_exports(results)
    checked = check_claims(results)
    claimed = ((claim, str(truth).lower()) for claim, truth in checked.items())
    _write(results, "claims.tex", (rf"\defclaim{{{claim}}}{{{truth}}}" for claim, truth in claimed))
    return checked


def overview(results: Results) -> str:
    """The study at a glance, in Markdown, for readers of the results."""
    titles = ("System", "Training sentences", "Micro F1 (95 % interval)", "Macro F1")
    titles += ("Answers not readable", "Latency, median", "Sentences/s")
    rows = []
    for row in results.undisturbed.summary.to_dict("records"):
        failed = "–" if pd.isna(row["failed"]) else f"{row['failed']:.1f} %"
        median = "–" if pd.isna(row["latency_p50_ms"]) else f"{row['latency_p50_ms']:,.0f} ms"
        score = _with_interval(row["micro_f1"], row["micro_f1_low"], row["micro_f1_high"])
        cells = [_label(row, results), f"{row['train_sentences']:,.0f}", score, f"{row['macro_f1']:.1f}"]
        rows.append([*cells, failed, median, f"{row['sentences_per_second']:,.1f}"])
    parts = [f"# {results.study.title}\n", f"{results.study.question}\n", _table(titles, rows)]
    parts += [f"{_about(results)}\n"]
    parts += [f"**Warning:** {line}.\n" for line in [*few_documents(results.stored), *doubts(results.stored)]]
    if len(frame := robustness.changes(results)):
        cells = [
            [f"{row['base']}, {row['kind']}", f"{row['f1']:.1f}"]
            + [_with_interval(row["change"], row["low"], row["high"])]
            for row in frame.to_dict("records")
        ]
        titles = ("System, disturbance", "Micro F1", "Change (95 % interval)")
        parts += ["## Disturbed sentences\n", _table(titles, cells)]
    if "held_out.f1" in (frame := flexibility.scores(results)):
        cells = [
            [_label(row, results), row["ways"]]
            + [_with_interval(*(row[f"{part}.{end}"] for end in ("f1", "low", "high"))) for part in PARTS]
            for row in frame.to_dict("records")
        ]
        titles = ("System", "Types in the prompt", *PARTS.values())
        parts += ["## Types that some systems were not trained on\n", _table(titles, cells)]
    return "\n".join(filter(None, [*parts, advice.overview(results)]))


def _about(results: Results) -> str:
    """What was scored, and where its settings stand."""
    tested = [
        f"{item.run.dataset.label}, {item.metrics['sentences']:,} of "
        f"{results.audits[item.run.dataset_name]['audit']['splits']['test']['sentences']:,} test sentences"
        for item in results.stored
    ]
    commits = sorted({item.manifest["commit"] for item in results.stored})
    machines = sorted({item.manifest["machine"]["processor"] for item in results.stored})
    seeds = results.study.seeds
    text = f"Strict match on {'; '.join(dict.fromkeys(tested))}; seed{'s' * (len(seeds) > 1)} "
    text += f"{', '.join(map(str, seeds))}; runs of commit {', '.join(commits)} on {', '.join(machines)}. "
    text += f"[Settings](../../params/studies/{results.name}.yaml) differ between studies: "
    return text + "compare the rows of one table only. –: not measured, or does not apply."


def _label(row: dict, results: Results) -> str:
    return row["label"] + (f", {row['corpus']}" if len(results.corpora) > 1 else "")


def _with_interval(value: float, low: float, high: float) -> str:
    text = f"{value:.1f} ({latex.interval(low, high)})"
    return text.replace("--", "–").replace("$-$", "−").replace("-", "−")


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the cells of all columns but the first are aligned on the right."""
    lines = [f"| {' | '.join(titles)} |", "|---|" + "---:|" * (len(titles) - 1)]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join([*lines, ""])


def discussion(known: dict[str, str]) -> str:
    """The discussion of a study for which nobody wrote one (LaTeX): its leads, by their names."""
    text = "This chapter is generated. It states what the tables show, without interpretation.\n"
    for title, names in SECTIONS.items():
        if sentences := [rf"\lead{{{name}}}" for name in names if name in known]:
            text += f"\n\\section{{{title}}}\n" + "\n\n".join(sentences) + "\n"
    return text


def check_claims(results: Results) -> dict[str, bool]:
    """Evaluate the claims of every text that this study's thesis may contain. Raises `claims.ClaimError`."""
    study = results.name
    places = ("*.tex", "chapters/*.tex", f"discussions/{study}.tex", f"leads/{study}.tex")
    places += (f"generated/{study}/leads.tex",)
    sources = [path for place in places for path in sorted(paths.THESIS.glob(place))]
    listed = [claim for path in sources for claim in claims.scan(path)]
    return claims.check(listed, numbers.result_values(results))


def _write(results: Results, name: str, lines: Iterable[str]) -> None:
    write_whole(paths.THESIS / "generated" / results.name / name, ("\n".join(lines) + "\n").encode())


def _seal(study: str) -> None:
    folders = (paths.THESIS / "generated" / study, paths.FIGURES / study)
    target = paths.thesis_digests(study)
    files = [path for folder in folders for path in folder.iterdir() if path != target]
    where = " ".join(map(paths.relative, folders))
    sealed.seal_files(target, files, f"delete {where} and run make thesis STUDY={study}")
