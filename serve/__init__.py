"""The page of a station: what comes in now, days, events to review, and what the ground asks for.

In: a run folder, which is only read. Out: pages, a review store beside the run folder, and in the run folder the files
that `edgequake-edge request` and `acknowledge` write. Read `web/routes.py` first, the list of all addresses.
"""
