"""Everything that a thesis takes from a study, written where LaTeX finds it."""

from __future__ import annotations

from collections.abc import Iterable

from ner_utils import analyses, paths, sealed
from ner_utils.files import write_whole
from ner_utils.rendering import benchmarks, figures, plots
from ner_utils.results.study import Results
from ner_utils.thesis import advice, claims, discussion, numbers, paper_claims, result_tables


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
    """Write numbers, tables, discussion and checked claims, and the study's overview with its results;
    returns each claim's truth. Raises `claims.ClaimError` on a claim that cannot be evaluated, after
    everything else is written: numbers.tex lists the keys."""
    tables = result_tables.all_tables(results)
    tables |= {"tab_ledger": paper_claims.tab_ledger(results), "tab_guide": advice.tab_guide(results)}
    plots.save_for_thesis(results.name, tables)
    by_key = numbers.result_numbers(results).items()
    _write(results, "numbers.tex", (rf"\defresult{{{key}}}{{{number.text}}}" for key, number in by_key))
    _write(results, "discussion.tex", [discussion.discussion(results)])
    write_whole(paths.RESULTS / results.name / "README.md", discussion.overview(results).encode())
    checked = check_claims(results)
    claimed = ((claim, str(truth).lower()) for claim, truth in checked.items())
    _write(results, "claims.tex", (rf"\defclaim{{{claim}}}{{{truth}}}" for claim, truth in claimed))
    return checked


def check_claims(results: Results) -> dict[str, bool]:
    """Evaluate the claims of every text that this study's thesis may contain. Raises `claims.ClaimError`."""
    study = results.name
    places = ("*.tex", "chapters/*.tex", f"discussions/{study}.tex", f"generated/{study}/discussion.tex")
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
