"""Results: in come events and raw traces of a station, out come segments, catalogue rows with priorities, a summary.

Start with `segments`, which turns an event into a segment and a row; `catalog` holds both for the rest of the run.
"""
