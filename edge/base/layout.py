"""What lies in a run's folder beside catalogue and segments, by name."""

from __future__ import annotations

ARCHIVE = "archive"  # the raw stream, SDS
CONTINUOUS = "continuous"  # the summary channel, SDS
SEGMENTS = "segments"
REQUESTS = "requests"  # what the ground has asked for
OUTBOX = "outbox"  # what the radio may take
JOURNAL = "downlink.log"  # what has been handed over
STATUS = "status.json"
