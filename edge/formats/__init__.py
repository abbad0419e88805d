"""Waveform files: in come bytes of miniSEED or rows of CSV, out come `Trace` objects; traces to miniSEED as well.

Start with `waveforms`, which defines `Trace`, its times, and when traces are contiguous.
"""
