"""Fisher's exact test and the Benjamini-Hochberg rule, as far as contrasting successes with failures needs them."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, lgamma, log


def fisher_exact(a: int, b: int, c: int, d: int) -> float:
    """Two-sided p of the table [[a, b], [c, d]]: the sum over all tables with these margins no likelier than it.

    R. A. Fisher, "The logic of inductive inference" (1935), in logarithms so that large counts do not overflow.
    """
    n, row, column = a + b + c + d, a + b, a + c
    if 0 in (row, n - row, column, n - column):
        return 1.0
    low, high = max(0, row + column - n), min(row, column)
    base = _choose(n, column)
    observed = _choose(row, a) + _choose(n - row, c) - base
    total = 0.0
    for x in range(low, high + 1):
        likelihood = _choose(row, x) + _choose(n - row, column - x) - base
        if likelihood <= observed + 1e-9:
            total += exp(likelihood)
    return min(1.0, total)


def log_odds(a: int, b: int, c: int, d: int) -> float:
    """Log odds ratio with 0.5 added to every cell (Haldane 1956, Anscombe 1956)."""
    return log((a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5)))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """The q-value of each p-value, in the same order (Benjamini and Hochberg 1995, step-up)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    smallest = 1.0
    for rank in range(len(order), 0, -1):
        i = order[rank - 1]
        smallest = min(smallest, p_values[i] * len(order) / rank)
        adjusted[i] = smallest
    return adjusted


def _choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
