"""Synthetic lunar records, seeded: for the demo, for `edgequake train tiny`, and for tests without recorded data.

In: a seed or a `numpy.random.Generator`, and onset times. Out: a `SyntheticRecord` with known onsets, or a folder with
miniSEED files, `records.csv` and `catalog.csv`, laid out like a folder of recorded data.
Read `synthetic_dataset` first, then `lunar_signals` (noise, moonquakes and glitches, with their sources).
"""
