"""Streaming with external state: turn a whole-sequence Keras network into a step model with every state in the open.

In: a Keras model of (rows, features) or (rows, features, channels). Out: a `StepGraph`, which takes the new rows and
all states and returns the probabilities and the new states; and the loop that steps it. Read `step_model.py` first.
"""
