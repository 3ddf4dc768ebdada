"""Does LaTeX print the texts of a study? Tried before any training, because the thesis is the last step."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ner_utils import config, messages, paths
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.forms.registry import form
from ner_utils.rendering import latex

_NO_GLYPH = re.compile(r"No glyph for U\+([0-9A-F]+)")
_STOPPED = re.compile(r"^\S*texts\.tex:(\d+): (.*)", re.MULTILINE)


def quoted_texts(runs: Iterable[Run]) -> dict[str, str]:
    """The texts that the thesis quotes of runs and their studies, by file and key."""
    texts: dict[str, str] = {}
    load_study = functools.cache(config.load_study)
    for run in runs:
        study = load_study(run.study)
        of_study = f"params/studies/{run.study}.yaml: "
        texts |= {of_study + key: getattr(study, key) for key in ("title", "question")}
        texts[f"{of_study}systems.{run.system}"] = f"{run.system} {run.label}"
        corpus, of_corpus = run.dataset, f"params/datasets/{paths.corpus(run.dataset_name)}.yaml: "
        texts |= {
            of_corpus + key: getattr(corpus, key) for key in ("label", "description", "licence", "language")
        }
        texts |= {f"{of_corpus}types.{kind}": f"{kind} {words}" for kind, words in corpus.types.items()}
        if run.writes:
            instruction = form(run.model, corpus).instruction()
            texts[f"{of_study}systems.{run.system}: its instruction on {run.dataset_name}"] = instruction
    return texts


def check_texts(texts: Mapping[str, str]) -> Iterator[str]:
    """Typeset texts, by their keys; yields a warning where characters will be printed as code points. Raises
    `ConfigError` where LaTeX stops."""
    if not shutil.which("pdflatex"):
        yield "there is no pdflatex here, so that what the thesis quotes of the study was not typeset"
        return
    missing = _typeset(_document(texts.values()), list(texts))
    for key, text in texts.items():
        if characters := "".join(dict.fromkeys(char for char in latex.escape(text) if ord(char) in missing)):
            yield (
                f"{key}: the thesis prints {messages.brief(characters, 40)} as code points, for its fonts "
                "do not hold them; labels and words for types in Latin script read better"
            )


def _document(texts: Iterable[str]) -> str:
    """LaTeX that prints each text twice: escaped, and verbatim as prompts are printed."""
    lines = [r"\documentclass{scrreprt}", r"\usepackage{style}", r"\begin{document}"]
    for text in texts:
        verbatim = " ".join(text.split()).replace(r"\end{", r"\end {")
        lines += [latex.escape(text) + r"\par", r"\begin{prompt}", verbatim, r"\end{prompt}"]
    return "\n".join([*lines, r"\end{document}", ""])


def _typeset(source: str, keys: list[str]) -> set[int]:
    """The code points of a document that the fonts do not hold."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "texts.tex").write_text(source, encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-file-line-error", "texts.tex"]
        environment = os.environ | {"TEXINPUTS": f"{paths.THESIS}:", "max_print_line": "10000"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=300)
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        stopped = _STOPPED.search(output)
        # Three lines of preamble, then four for each text.
        at = (int(stopped[1]) - 4) // 4 if stopped else -1
        where = keys[at] if 0 <= at < len(keys) else "params: the texts of the study"
        reason = stopped[2] if stopped else (output.splitlines() or ["no message"])[-1]
        raise ConfigError(f"{where}: LaTeX cannot print it, and would stop the study's last step ({reason})")
    return {int(code, 16) for code in _NO_GLYPH.findall(output)}
