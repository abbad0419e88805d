"""What the page of a station costs: memory and processor of the server, and whether the runner beside it gets slower.

    python studies/serve_cost.py memory RUN_DIR          a server of the folder: memory at each page, idle processor
    python studies/serve_cost.py latency --out WORK      a live Shake: from the last sample to the event told, in turns
                                                         alone and beside ten pages that are open

The Shake is simulated: datagrams as its own are sent over UDP on loopback, faster than a real one sends if asked, all
channels of a quarter of a second at once. The runner tells of an event by its program (`--on-event`), which sends a
datagram back; the latency is the time from the datagrams that were sent last to that one. Pages ask as a browser with
"Now" open does: the newest figures every 2 s, health every 5 s.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

SERVE = (sys.executable, "-m", "edgequake.cli", "serve")
IDLE_S = 30.0
PAGES = ("now", "now/data?minutes=2", "days", "days/data", "events", "ground")
DRAWN = ("now/data?minutes=30", "now/data?minutes=120", "now/data?minutes=1440", "days/data")
LISTS = ("events?page=1&size=200", "events?order=doubtful", "events?order=random&state=open", "events?peak=0.5")


@dataclass
class Server:
    """A server in a process of its own."""

    address: str
    pid: int
    answered_s: list[float] = field(default_factory=list)

    def get(self, page: str) -> bytes:
        """Return what is at an address, and note how long it took."""
        begun_s = time.monotonic()
        with urlopen(f"{self.address}/{page}", timeout=120) as answer:
            data: bytes = answer.read()
        self.answered_s.append(time.monotonic() - begun_s)
        return data

    def memory_mb(self) -> tuple[float, float]:
        """Return the resident memory now, and the most since the last call."""
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        now, most = (int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # the most is what it is now: proc(5)
        return now, most

    def cpu_s(self) -> float:
        """Return the processor time so far."""
        return cpu_s(self.pid)


def cpu_s(pid: int) -> float:
    """Return the processor time of a process, in steps of 10 ms."""
    cells = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(cells[11]) + int(cells[12])) / 100.0


@contextmanager
def served(run: Path) -> Iterator[Server]:
    """Serve a run folder."""
    process = subprocess.Popen([*SERVE, str(run), "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://\S+:\d+", line)
        if found is None:
            raise SystemExit(f"the server has not started: {line}")
        server = Server(found[0], process.pid)
        server.get("static/style.css")
        yield server
    finally:
        process.terminate()
        process.wait(30.0)


def measure_memory(run: Path, idle_s: float) -> dict[str, float]:
    """Return figures of a server: MB after each stage, the most in it, and its share of a core when nobody asks."""
    figures: dict[str, float] = {}

    def stage(name: str, pages: tuple[str, ...]) -> None:
        for page in pages:
            server.get(page)
        figures[f"{name}: MB"], figures[f"{name}: MB at most"] = server.memory_mb()

    with served(run) as server:
        stage("started", ())
        stage("every page once", PAGES)
        found = re.search(rb'<td><a href="/(events/[^"?]+)\?', server.get("events"))
        if found is not None:
            name = found[1].decode()
            stage("an event", (name, f"{name}/data"))
        for page in DRAWN:
            stage(page, (page,))
        for page in LISTS:
            stage(page, (page,))
        begun_s = server.cpu_s()
        time.sleep(idle_s)
        figures["idle: share of a core"] = (server.cpu_s() - begun_s) / idle_s
    return figures


def main() -> None:
    """Measure what the command line names, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    memory = what.add_parser("memory")
    memory.add_argument("run", type=Path)
    memory.add_argument("--idle-s", type=float, default=IDLE_S)
    given = parser.parse_args()
    figures = measure_memory(given.run, given.idle_s)
    for name, value in figures.items():
        print(f"{name:40s} {value:.4g}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
