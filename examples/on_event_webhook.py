#!/usr/bin/env python3
"""Post each event as JSON to a web address: Home Assistant, Node-RED, a service of your own; standard library only.

edgequake-edge run ... --on-event '/opt/edgequake/examples/on_event_webhook.py http://192.168.1.10:8123/api/webhook/quake'

With WEBHOOK_SECRET in the environment the header X-Edgequake-Signature is the HMAC-SHA256 of the body, in hex, so that
the receiver knows who has sent it.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import os
import sys
import urllib.request

TIMEOUT_S = 8.0  # less than the runner's --on-event-timeout


def main() -> None:
    """Post what is on standard input."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="where to post to")
    arguments = parser.parse_args()
    body = sys.stdin.buffer.read()
    headers = {"Content-Type": "application/json", "X-Edgequake-Phase": os.environ.get("EDGEQUAKE_PHASE", "")}
    if secret := os.environ.get("WEBHOOK_SECRET"):
        headers["X-Edgequake-Signature"] = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    request = urllib.request.Request(arguments.url, data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_S):
        pass


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as problem:  # the receiver cannot be reached, or refuses; no web address
        sys.exit(f"webhook: {getattr(problem, 'reason', None) or problem}")
