"""Compare the finished graphs with Keras, and refuse those that differ too much.

In: the manifest, the graphs, feature rows, and Keras' probabilities of them. Out: the manifest with the measured
agreement of every graph, and the clipping of integer graphs. Read `comparison.py` first.
"""
