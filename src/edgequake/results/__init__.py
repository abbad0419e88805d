"""Results: measurements, as benchmarks return them and as JSON files hold them; runs, as their folders hold them.

In: what `edgequake.benchmarks` measured, the JSON files of earlier measurements, and the folders of finished runs.
Out: dataclasses, their JSON, tables of them (`tables`), and what is worse than a reference. Read `accuracy` first.
"""
