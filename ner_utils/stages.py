"""The stages through which a result comes about, each with a number that is raised when its behaviour
changes.

A manifest holds the numbers under which its predictions were made; metrics, audits and comparisons hold those
of their own stages. A raised number of a stage that trains or predicts gives the run another fingerprint, so
that it is made again; a raised number of any other stage makes its files stale. Editing code without changing
what it does raises nothing: tests/test_stages.py compares what each stage makes of fixed inputs with stored
values and fails where behaviour changed and the number did not.
"""

from __future__ import annotations

NUMBERS = {
    "data": 1,  # from a corpus' files to sentences
    "perturbation": 1,  # disturbed test sentences
    "tagging": 1,  # training and prediction of token classifiers
    "generation": 1,  # prompts, training and decoding of generators
    # From answers to spans. 2: more forms of answers are read. Results of 1 stay, because raw answers are not
    # stored; the thesis says how many of their answers may be read otherwise (`study.older_reading`).
    "reading": 2,
    "ensemble": 1,  # voting
    "scoring": 2,  # from spans to metrics. 2: WNUT-17's second score counts spans that are right in place
    "audit": 1,  # counts of a corpus
    "analysis": 2,  # differences, confidence, contamination. 2: true ceiling, oracle of single systems
}


def numbers(*names: str) -> dict[str, int]:
    """Stages by name, with their numbers."""
    return {name: NUMBERS[name] for name in names}
