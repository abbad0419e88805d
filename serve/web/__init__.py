"""The server: addresses, pages, and who may do what.

In: requests of browsers. Out: pages, figures as JSON, reviews, requests to the run. Read `routes.py` first.
"""
