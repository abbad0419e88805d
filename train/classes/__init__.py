"""Labelled events come in; the weights of the event classes go out, for the manifest.

The inputs are those that the device computes for an event when it closes.
Read `fit.py` first.
"""
