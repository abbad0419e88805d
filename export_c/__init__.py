"""A model as C99 source: the detector for hardware without Python, equal to the runner to the bit.

In: a manifest and its int8 graph. Out: a folder of C sources, the same for all models, and headers that hold the model.
Read `exporter` first; the C itself is in `sources/`, and `network_reader` says which graphs can be exported.
"""
