"""A random generator comes in; synthetic noise, quakes and disturbances of a body go out.

`bodies.py` says which of them a body uses; `noise.py` holds what they are built from.
Read `bodies.py` first.
"""
