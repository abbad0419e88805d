"""From a Keras network to one-step TFLite graphs and their manifest: `converter.convert_model` does the whole of it.

Importing this package imports nothing else, and none of its modules loads TensorFlow but those of the worker process
that `convert_model` starts; stepping finished graphs (`verify.graph_probabilities`) needs what a lander has.
"""
