"""Operation: in come the options of a run, out come its model, its source, its stations, its services and its folder.

Start with `config`; `runner`, one folder up, puts these parts together. `services` alone imports archive and downlink.
"""
