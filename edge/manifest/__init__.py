"""The manifest, NAME.json: in comes its text, out come frozen dataclasses with every constant of a model.

Start with `manifest`; `front_end_config` and `event_config` hold its tables, `schema` checks and builds them.
"""
