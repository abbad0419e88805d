"""Records, a detector and budgets in bytes a day come in; the share of the arrivals that reaches the ground goes out.

Read `simulation` first: a record as a short mission, and its downlink under one budget.
"""
