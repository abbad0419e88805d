"""Keras on the desktop: from labelled records to a trained network."""
