"""Detectors and labelled records come in; an accuracy report goes out: rates, onset errors, windows, classes, stations.

Read `accuracy` first; `evaluation` scores a single detector, `breakdown` its details.
"""
