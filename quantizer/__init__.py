"""Calibration data, statistics, thresholds, and the integer graph made from them."""
