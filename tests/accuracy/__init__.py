"""How accurate the integer models of trained networks are, beside another quantizer's.

`make accuracy` runs all of it; `nets.py` says which networks on which pictures, `scores.py` what
counts, `engines.py` who runs them.
"""
