"""What a run folder says, in the form that pages need.

In: catalogue, archive, segments, status and monitor of a run, as files. Out: rows of events, envelopes, spectrograms,
probabilities. Read `catalog_index.py` first.
"""
