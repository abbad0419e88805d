"""Operation: in come the options of a run, out come its model, its source, its stations, its services and its folder.

Start with `config`; `runner`, one folder up, puts these parts together. `services` alone imports archive and downlink.
A new model passes from `install` by `model_store` and `model_check` to `model_switch`, which a run loads only then.
"""
