"""How is a thesis compiled where there is no kit? ``make overleaf STUDY=…`` writes one zip with its sources.

Figures are in it as PDF, PNG and SVG.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ner_utils import config, messages, paths, sealed
from ner_utils.files import write_whole

SOURCES = ("*.sty", "*.bib", "author.tex", "chapters/*.tex")
OF_STUDY = ("discussions/{}.tex", "leads/{}.tex", "generated/{}/*.tex")
DATE = (1980, 1, 1, 0, 0, 0)  # of all members, so that the same sources make the same zip
DPI = 200
README = """\
The thesis of the study {study}. Upload this zip to Overleaf as a new project (main file: thesis.tex,
compiler: pdfLaTeX), or run here: latexmk -pdf thesis.tex
"""


def write_archive(study: str) -> Path:
    """Write the zip next to the thesis, and return it. Raises `ResultError` where the analysis of the study
    has not run, or a generated file was changed."""
    sealed.verify_files(paths.thesis_digests(study), f"run make thesis STUDY={study}")
    members = {"README.txt": README.format(study=study).encode()}
    main = (paths.THESIS / "thesis.tex").read_text(encoding="utf-8")
    members["thesis.tex"] = f"\\def\\study{{{study}}}\\def\\figures{{figures}}\n{main}".encode()
    for pattern in (*SOURCES, *(each.format(study) for each in OF_STUDY)):
        for file in sorted(paths.THESIS.glob(pattern)):
            members[file.relative_to(paths.THESIS).as_posix()] = file.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        for figure in sorted((paths.FIGURES / study).glob("*.pdf")):
            for file in (figure, *_drawn(figure, Path(folder))):
                members[f"figures/{study}/{file.name}"] = file.read_bytes()
        partial = Path(folder) / "whole.zip"
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(zipfile.ZipInfo(name, DATE), content, zipfile.ZIP_DEFLATED)
        target = paths.THESIS / f"overleaf-{study}.zip"
        write_whole(target, partial.read_bytes())
    return target


def _drawn(figure: Path, folder: Path) -> list[Path]:
    """A figure in the other formats, made from its PDF by poppler."""
    png, svg = (folder / f"{figure.stem}.{kind}" for kind in ("png", "svg"))
    size = ["-png", "-r", str(DPI), "-singlefile"]
    subprocess.run(["pdftocairo", *size, figure, png.with_suffix("")], check=True)
    subprocess.run(["pdftocairo", "-svg", figure, svg], check=True)
    return [png, svg]


if __name__ == "__main__":
    with messages.errors_as_lines(config.ConfigError, sealed.ResultError):
        config.load_study(sys.argv[1])
        print(paths.relative(write_archive(sys.argv[1])))
