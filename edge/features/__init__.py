"""The front end: in come the traces of one station, out come rows of features, with gaps interpolated and flagged.

Start with `front_end`; it applies the other modules in the order conditioning, windows, spectra, normalization.
"""
