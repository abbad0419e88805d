"""Serve: the page of a station, and what its users say of the events.

In: a run folder, which is never written to but for requests and acknowledgements. Out: pages, and a folder of reviews
beside the run folder. Read `reviews/review_store.py` first for the reviews.
"""
