"""Labelled records: which files a folder holds, and when its catalogued arrivals are.

In: a data folder, as `records.csv` and `catalog.csv`, as the NASA Space Apps packet, or as PhaseNet's .npz files.
Out: `LabelledRecord` objects with their `Arrival` labels, by body, split, fold or station; samples are not read here.
Read `tables` first (what a record is), then `dataset`.
"""
