"""Do two systems differ? A test of their difference in F1, its correction, and the difference it can find."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from ner_utils.scoring.resampling import chunks, f1, f1_by_type, f1_parts

TIE = 1e-12  # differences that are equal in exact arithmetic may differ by this much in floats


def paired_test(
    a: np.ndarray, b: np.ndarray, groups: Sequence | np.ndarray, metric: str, resamples: int, seed: int
) -> float:
    """Two-sided p-value of approximate randomisation (Yeh 2000, C00-2137).

    In each resample every group's counts are exchanged with probability 1/2; p is (1 + hits) /
    (1 + resamples), where a hit is a difference no smaller in size than the observed one. Runs are
    paired in the order given, and a group is exchanged in all pairs together, because runs of one
    system are not independent. A system with one run (greedy zero-shot) is paired with each run of
    the other. The test is about these runs and not about other seeds. Arguments as in
    `resampling.f1_parts`; raises `ValueError` also where both have several runs, but not equally many.
    """
    a, b = (f1_parts(side, groups, metric) for side in (a, b))
    if a.shape[2] != b.shape[2] and 1 not in (a.shape[2], b.shape[2]):
        raise ValueError(f"runs cannot be paired: {a.shape[2]} against {b.shape[2]}")
    a, b = np.broadcast_arrays(a, b)
    total_a, total_b = a.sum(axis=0), b.sum(axis=0)
    difference = (f1(total_a) - f1(total_b)).mean()
    random = np.random.default_rng(seed)
    change = (b - a).astype(np.float32)  # exact: sums are whole numbers, and far below 2^24
    hits = 0
    for _, size in chunks(resamples, len(a)):
        moved = np.tensordot(_coins(random, *size), change, axes=1).astype(float)
        differences = (f1(total_a + moved) - f1(total_b - moved)).mean(axis=-1)
        hits += int((np.abs(differences) >= abs(difference) - TIE).sum())
    return (1 + hits) / (1 + resamples)


def _coins(random: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Fair coins, [rows, columns] of 0 and 1; a random byte gives eight."""
    width = -(-columns // 8)
    drawn = np.frombuffer(random.bytes(rows * width), np.uint8).reshape(rows, width)
    return np.unpackbits(drawn, axis=1)[:, :columns].astype(np.float32)


def smallest_difference(
    a: np.ndarray,
    b: np.ndarray,
    groups: Sequence | np.ndarray,
    metric: str,
    alpha: float,
    power: float = 0.85,
) -> float:
    """The true difference of two systems that the test at level ``alpha`` finds at least four times in
    five, estimated from how much the difference varies over the groups.

    Normal approximation: the standard error of the difference comes from each group's part in it, F1 being
    linearised (the delta method); the runs are taken as given, as the test takes them. ``power`` is more
    than 0.8 because a larger difference varies more, and randomisation loses a little. NaN where the
    difference does not vary at all, as of two systems that find nothing. Arguments as in `paired_test`.
    """
    parts = (_influence(f1_parts(side, groups, metric)) for side in (a, b))
    difference = np.subtract(*parts)
    error = float(np.sqrt(((difference - difference.mean()) ** 2).sum())) or float("nan")
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) * error


def _influence(parts: np.ndarray) -> np.ndarray:
    """What each group adds to a score's deviation, [groups], the mean over runs and types."""
    sums = parts.sum(axis=0)
    held = sums[1] > 0
    scores = f1_by_type(sums)
    slopes = np.divide(
        parts[:, 0] - scores * parts[:, 1], sums[1], out=np.zeros_like(parts[:, 0]), where=held
    )
    return (slopes.sum(axis=2) / np.maximum(held.sum(axis=1), 1)).mean(axis=1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given (Holm 1979, Scandinavian Journal of Statistics 6: 65-70)."""
    adjusted = np.zeros(len(p_values))
    order = np.argsort(p_values)
    steps = np.arange(len(order), 0, -1) * np.asarray(p_values, dtype=float)[order]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted.tolist()
