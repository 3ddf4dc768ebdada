"""Everything that a thesis takes from a study, written where LaTeX finds it."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from ner_utils import analyses, paths, sealed
from ner_utils.files import write_whole
from ner_utils.rendering import benchmarks, figures, latex, plots
from ner_utils.results import export
from ner_utils.results.cautions import doubts, few_documents
from ner_utils.results.study import Results
from ner_utils.thesis import advice, claims, leads, numbers, paper_claims, result_tables

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
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" + "---:|" * (len(titles) - 1)]
    for row in results.undisturbed.summary.to_dict("records"):
        failed = "–" if pd.isna(row["failed"]) else f"{row['failed']:.1f} %"
        corpus = f", {row['corpus']}" if len(results.corpora) > 1 else ""
        cells = [f"{row['label']}{corpus}", f"{row['train_sentences']:,.0f}"]
        spread = latex.interval(row["micro_f1_low"], row["micro_f1_high"]).replace("--", "–")
        median = "–" if pd.isna(row["latency_p50_ms"]) else f"{row['latency_p50_ms']:,.0f} ms"
        cells += [f"{row['micro_f1']:.1f} ({spread})", f"{row['macro_f1']:.1f}", failed, median]
        cells += [f"{row['sentences_per_second']:,.1f}"]
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    commits = sorted({item.manifest["commit"] for item in results.stored})
    machines = sorted({item.manifest["machine"]["processor"] for item in results.stored})
    seeds = ", ".join(map(str, results.study.seeds))
    lines += ["", f"{', '.join(results.corpora)}, strict match, test; seed {seeds}; runs of commit "]
    lines[-1] += f"{', '.join(commits)} on {', '.join(machines)}."
    warnings = [*few_documents(results.stored), *doubts(results.stored)]
    lines += [f"\n**Warning:** {line}." for line in warnings]
    parts = [f"# {results.study.title}\n", f"{results.study.question}\n", "\n".join(lines) + "\n"]
    return "\n".join(filter(None, [*parts, advice.overview(results)]))


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
