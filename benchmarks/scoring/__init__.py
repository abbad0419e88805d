"""Labelled records and the detections on them come in; counts, rates, window figures and their intervals go out.

Read `scoring` first: how a detection is matched to an arrival. `pooling` then turns scores into rates.
"""
