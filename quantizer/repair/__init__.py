"""Rewrites of the float graph, and of its integers, that lose less."""

from demitasse.quantizer.repair.equalize import (
    EQUALIZED,
    Exponents,
    Loudness,
    choose_exponents,
    equalize,
    listen,
)

__all__ = ["EQUALIZED", "Exponents", "Loudness", "choose_exponents", "equalize", "listen"]
