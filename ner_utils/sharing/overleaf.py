"""How is a thesis compiled where there is no kit? ``make overleaf STUDY=…`` writes one zip with its sources.

Figures are in it as PDF, PNG and SVG.
"""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

from ner_utils import config, messages, paths, sealed
from ner_utils.files import write_whole

SOURCES = ("*.sty", "*.bib", "author.tex", "chapters/*.tex")
SOURCES += ("discussions/{}.tex", "leads/{}.tex", "generated/{}/*.tex")  # of a study
DATE = (1980, 1, 1, 0, 0, 0)  # of all members, so that the same sources make the same zip
# Further formats of figures, by their suffixes: the options of poppler that make them from the PDF.
FORMATS = {"png": ("-png", "-r", "200", "-singlefile"), "svg": ("-svg",)}
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
    for pattern in SOURCES:
        for file in sorted(paths.THESIS.glob(pattern.format(study))):
            members[file.relative_to(paths.THESIS).as_posix()] = file.read_bytes()
    for figure in sorted((paths.FIGURES / study).glob("*.pdf")):
        members[f"figures/{study}/{figure.name}"] = figure.read_bytes()
        for suffix, options in FORMATS.items():
            command = ["pdftocairo", *options, figure, "-"]
            drawn = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
            members[f"figures/{study}/{figure.stem}.{suffix}"] = drawn
    target, whole = paths.THESIS / f"overleaf-{study}.zip", io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, DATE), content, zipfile.ZIP_DEFLATED)
    write_whole(target, whole.getvalue())
    return target


if __name__ == "__main__":
    with messages.errors_as_lines(config.ConfigError, sealed.ResultError):
        config.load_study(sys.argv[1])
        print(paths.relative(write_archive(sys.argv[1])))
