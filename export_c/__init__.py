"""A model as C99 source: the detector for hardware without Python, equal to the runner to the bit.

In: a manifest and its int8 graph. Out: a folder of C sources with a header that holds the model. `exporter.py` first;
the C itself is in `sources/`, written once for all models; `network_reader.py` says which graphs can be exported.
"""
