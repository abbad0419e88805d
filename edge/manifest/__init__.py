"""The manifest, NAME.json: in comes its text, out come frozen dataclasses with every constant of a model.

Start with `manifest`; `tables` holds its tables, `schema` checks and builds them.
"""
