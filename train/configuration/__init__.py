"""A TOML file comes in; a `Recipe` of frozen dataclasses goes out.

`body_scales.py` holds what differs between the Moon, Mars and the Earth.
Read `recipe.py` first.
"""
