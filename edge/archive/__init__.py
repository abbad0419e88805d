"""The archive: in come raw traces, out come day files in SDS layout, of the waveforms and of their SSAM channels.

Start with `archive`; `day_files` keeps its size limit, `ssam` measures loudness, `extract` reads spans of time back.
"""
