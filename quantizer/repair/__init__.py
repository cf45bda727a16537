"""Rewrites of the float graph, and of its integers, that lose less."""

from __future__ import annotations

from collections.abc import Collection

from demitasse.errors import DataError
from demitasse.quantizer.repair.equalize import EQUALIZED, Exponents, choose_exponents, equalize

# What may be done to INT8 layers: to their biases, by the means of the statistics or on images, and
# to how weights are rounded; what is done if nothing is said and weights take four bits.
REPAIRS = ("means", "bias", "rounding")
USUAL_FOR_4_BITS = REPAIRS

__all__ = [
    "EQUALIZED",
    "REPAIRS",
    "USUAL_FOR_4_BITS",
    "Exponents",
    "check_repairs",
    "choose_exponents",
    "equalize",
]


def check_repairs(repairs: Collection[str]) -> None:
    """DataError for an unknown one."""
    if unknown := sorted(set(repairs) - set(REPAIRS)):
        raise DataError(f"unknown repair '{unknown[0]}'", remedy=", ".join(REPAIRS))
