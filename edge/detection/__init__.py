"""Detection: in come the traces of one station, out come events with onset, duration, probability and class.

Start with `detector`, which chains front end, network and trigger; `onset` refines onsets from the samples. `self_test`
is a program of its own, which tests a graph; `follower` feeds another model beside the present one.
"""
