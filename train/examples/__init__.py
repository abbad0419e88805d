"""Records and the bank come in; rows of features with a target and a weight for each block go out.

The rows are those of the device: `edgequake.edge.features` computes them.
Read `examples.py` first.
"""
