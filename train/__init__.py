"""Labelled records and a recipe come in; `NAME.keras` and `train.json` go out.

`edgequake train` calls `trainer.train`: configuration, signals, data, examples, classes, then the fit.
Read `trainer.py` first.
"""
