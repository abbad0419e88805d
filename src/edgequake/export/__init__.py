"""Events and segments of a finished run for other seismological software: `edgequake export`.

In: the output folder of a run, as `edgequake.results.finished_run` reads it.
Out: QuakeML, CSV, Snuffler markers, or SAC files.
Read `exporting` first; `quakeml` and `sac` hold the two formats that need obspy.
"""
