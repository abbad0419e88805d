#!/usr/bin/env python3
"""Draw each event when it is final: DIR/pictures/EVID.png, from its segment. Needs edgequake[cli], some 150 MB and 2 s.

edgequake-edge run ... --on-event '/opt/edgequake/.venv/bin/python /opt/edgequake/examples/on_event_picture.py'
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

try:
    from edgequake.edge.base.errors import EdgequakeError
    from edgequake.edge.results.catalog import CatalogRow
    from edgequake.report.charts.event_panels import draw_segment
except ModuleNotFoundError as problem:
    sys.exit(f"picture: {sys.executable} has no {problem.name}: run this with the Python that has edgequake[cli]")


def draw(event: dict[str, Any], out: Path) -> Path:
    """Draw an event of the run in `out` and return the picture's path."""
    known = {field.name for field in fields(CatalogRow)}
    row = CatalogRow(**{name: value for name, value in event.items() if name in known})
    return draw_segment(row, out / row.segment, out / "pictures" / f"{row.evid}.png")


def main() -> None:
    """Draw the event on standard input, if it is final."""
    event = json.load(sys.stdin)
    if event["phase"] == "final":
        print(draw(event, Path(os.environ.get("EDGEQUAKE_OUT", "."))), file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, EdgequakeError) as problem:  # one line in the journal
        sys.exit(f"picture: {problem}")
