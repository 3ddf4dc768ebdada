"""The stages of a run, each with a number that is raised when the behaviour of the stage changes.

A manifest stores the numbers under which its predictions were made; metrics, audits and comparisons store
those of their own stages. If the number of a stage that trains or predicts is raised, a run gets another
fingerprint and is made again. If the number of any other stage is raised, its files are stale. Edits that do
not change behaviour raise nothing: tests/test_stages.py compares the outputs of each stage on fixed inputs
with stored values, and fails if behaviour changed and the number did not.
"""

from __future__ import annotations

NUMBERS = {
    "data": 1,  # reads sentences from the files of a corpus
    "perturbation": 1,  # disturbs test sentences
    "tagging": 1,  # trains token classifiers and predicts with them
    "gliner": 1,  # trains models of GLiNER2 and predicts with them
    "generation": 1,  # prompts, trains and decodes generators
    "endpoint": 1,  # prompts models behind servers
    # Reads spans from answers. 2: reads more forms of answers. Results of 1 stay, because raw answers are not
    # stored; the thesis says how many of their answers might be read differently (`study.older_reading`).
    "reading": 2,
    "ensemble": 1,  # votes on spans
    "scoring": 2,  # scores spans. 2: WNUT-17's second score counts spans with the right extent
    "audit": 1,  # counts what is in a corpus
    # Findings on all runs of a study. 2: the true ceiling; an oracle of single systems.
    "differences": 4,  # 3: intervals of differences draw the same seeds of both systems. 4: only common seeds
    "confidence": 2,
    "contamination": 2,
}


def numbers(*names: str) -> dict[str, int]:
    """The numbers of some stages, by name."""
    return {name: NUMBERS[name] for name in names}
