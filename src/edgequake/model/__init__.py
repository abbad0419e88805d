"""A trained model in Python, with SeisBench's verbs: `classify` and `annotate`.

In: a shipped model's name or a manifest, and waveforms as an obspy Stream, arrays, records or files.
Out: the events that `edgequake run` finds in them, and the network's probabilities.
Read `quake_model` first.
"""
