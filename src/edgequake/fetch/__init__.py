"""Recorded data from the archives of the Apollo and InSight missions: `edgequake fetch`.

In: a body, days and channel codes, and the miniSEED that an FDSN data centre sends for them.
Out: a data folder with one miniSEED file per day and instrument, and rows of `records.csv` that describe them.
Read `fetching` first, then `data_centre` (requests), `day_sorting` (files of a day) and `record_table` (the tables).
"""
