"""A labelled record and a start instant come in; a detector's onsets, kept segments and characteristic function go out.

Read `baselines` first: what a detector is. `detectors` lists all that take part in a benchmark.
"""
