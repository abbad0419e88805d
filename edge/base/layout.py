"""The names of the files and folders in a run folder (`--out`)."""

from __future__ import annotations

LOCK = ".lock"  # of the runner that works in the folder
CATALOG = "catalog.csv"
CATALOG_CHECK = "catalog.check"  # its rows once more with checksums, to restore it from
SEGMENTS = "segments"  # waveforms of the events, miniSEED
SUMMARY = "summary.json"  # written last: the run is complete
CHECKPOINT = "checkpoint.edgequake"  # state to resume from
STATUS = "status.json"
HEARTBEAT = "heartbeat"  # the process that runs; its time is that of its last sign of life
ARCHIVE = "archive"  # the raw stream, SDS
CONTINUOUS = "continuous"  # SSAM channels, SDS
MONITOR = "monitor"  # the last hours for the station's page, see `archive.monitor`
SPOOL = "spool"  # recorded data from a pipe, until they have been processed
REQUESTS = "requests"  # from the ground
OUTBOX = "outbox"  # files for the radio
JOURNAL = "downlink.log"  # the passes handed over so far
TOLD = "told.log"  # the announcements for which the command of --on-event has begun
SET_ASIDE = "set-aside"  # input that could not be processed
RESERVE = ".reserve"  # disk space for checkpoint and catalogue, see `base.atomic_files`
MODELS = "models"  # installed ones, see `operation.model_store`
MODEL_KEY = "model-key.pub"  # public key that signs models
