"""Rewrites of the float graph that lose less to integers."""

from demitasse.quantizer.repair.equalize import EQUALIZED, equalize, is_equalized

__all__ = ["EQUALIZED", "equalize", "is_equalized"]
