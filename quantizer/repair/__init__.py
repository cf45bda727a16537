"""Rewrites of the float graph, and of its integers, that lose less."""

from demitasse.quantizer.repair.equalize import EQUALIZED, Exponents, choose_exponents, equalize

__all__ = ["EQUALIZED", "Exponents", "choose_exponents", "equalize"]
