"""Scan: one model over years of many stations, shared out among processes, with the events of one serial run.

In: an archive of records (SDS, folders, the NASA packet; local, or anything that fsspec opens).
Out: a folder with the catalogue as Parquet, a summary by station and day, and the state from which any later command
goes on. Read `scanning.py` first, then `planning.py` for what a shard is and `shard_run.py` for how one is run.
"""
