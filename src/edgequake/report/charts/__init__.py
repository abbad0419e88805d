"""Pictures: days, events and runs as seismograms, measurements as curves.

In: traces and probabilities of `edgequake.report.recording`, reports of `edgequake.results`.
Out: matplotlib figures, and their PNG or SVG to be embedded in a page (`images`). Read `day_plot` first.
"""
