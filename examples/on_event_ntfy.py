#!/usr/bin/env python3
"""Tell a phone of each event through ntfy (https://ntfy.sh, or a server of your own); standard library only.

edgequake-edge run ... --on-event '/opt/edgequake/examples/on_event_ntfy.py --topic my-shake-4711'

Whoever knows the topic can read it: choose one that nobody guesses, or a server with accounts (NTFY_TOKEN).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.request
from typing import Any

TIMEOUT_S = 8.0  # less than the runner's --on-event-timeout


def message(event: dict[str, Any], topic: str) -> dict[str, Any]:
    """Return what ntfy is to show of an event."""
    when = f"{event['onset'][11:19]} UTC, {event['onset'][:10]}"
    if event["phase"] == "onset":
        return {
            "topic": topic,
            "title": f"Quake at {event['station_id']}",
            "message": f"Began {when}; probability {event['peak_probability']:.2f} so far",
            "priority": 5,
            "tags": ["rotating_light"],
        }
    lasted_s = (event["stop_ns"] - event["onset_ns"]) / 1e9
    uncertain = event["onset_uncertainty_s"]
    within = "" if uncertain is None else f" ± {uncertain:.1f} s"
    return {
        "topic": topic,
        "title": f"{event['station_id']}: the quake is over",
        "message": f"Onset {when}{within}; lasted {lasted_s:.0f} s, probability {event['peak_probability']:.2f}",
        "priority": 2,
        "tags": ["checkered_flag"],
    }


def main() -> None:
    """Publish the event on standard input."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topic", required=True, help="what the phone subscribes to")
    parser.add_argument("--server", default="https://ntfy.sh", help="default: https://ntfy.sh")
    arguments = parser.parse_args()
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("NTFY_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps(message(json.load(sys.stdin), arguments.topic)).encode()
    request = urllib.request.Request(arguments.server, data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_S):
        pass


if __name__ == "__main__":
    try:
        main()
    except (
        OSError,
        ValueError,
    ) as problem:  # the server cannot be reached, or refuses; no JSON: one line in the journal
        sys.exit(f"ntfy: {getattr(problem, 'reason', None) or problem}")
