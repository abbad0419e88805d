"""What the page of a station costs: memory and processor of the server, and whether the runner beside it gets slower.

    python studies/serve_cost.py memory RUN_DIR          a server of the folder: memory at each page, idle processor
    python studies/serve_cost.py latency --out WORK      a live Shake: from the last sample to the event told, in turns
                                                         alone and beside ten pages that are open

The Shake is simulated: datagrams as its own are sent over UDP on loopback, `--speed` times as fast as a real one sends,
all channels of a quarter of a second at once. The runner tells of an event by its program (`--on-event`, here `tee`
into a pipe). The latency is the time from sending the quarter of a second that decides, to what comes through the pipe;
which one decides is the same in all turns, so it is the earliest after which any turn has been told. Pages ask as a
browser with "Now" open does: the newest figures every 2 s, health every 5 s; from a process of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import numpy as np

from edgequake.benchmarks.robustness.shake_signal import (
    CHANNELS,
    DATAGRAM_SAMPLES,
    QUAKE_EVERY_S,
    RATE_HZ,
    START_NS,
    STATION,
    ShakeSignal,
    shake_signal,
)

SERVE = (sys.executable, "-m", "edgequake.cli", "serve")
IDLE_S = 30.0
THRESHOLD = 0.5
BEFORE_S, AFTER_S = 10.0, 25.0  # of each quake in the signal: so they come every 35 s
SETTLED_S = 5.0  # after which programs that were started have started, and what was sent has been worked through
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


@dataclass
class Turn:
    """One run of the signal: when each quarter of a second was sent, and when the runner told of each event."""

    sent_s: list[float] = field(default_factory=list)
    told: list[tuple[float, int]] = field(default_factory=list)  # when, and how many quarters had been sent
    runner_cpu_s: float = 0.0
    server_share: float | None = None


def run_turn(work: Path, quarters: list[list[bytes]], speed: float, n_pages: int) -> Turn:
    """Send the signal to a runner, with pages open beside it or without."""
    out, pipe = work / f"run-{time.monotonic_ns()}", work / "told"
    if not pipe.exists():
        os.mkfifo(pipe)
    told_fd = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    port = free_port()
    station = "_".join(STATION.split("_")[:2])
    command = [sys.executable, "-m", "edgequake.edge", "run", f"shake://127.0.0.1:{port}/{station}", "--out", str(out)]
    command += ["--monitor", "--model", "earth", "--threshold", str(THRESHOLD), "--on-event", f"tee {pipe}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    runner = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
    turn = Turn()
    try:
        wait_until_bound(port, runner)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as shake, watched(told_fd, turn):
            first = len(quarters) // 20  # a page shows nothing before there is something
            send(shake, port, quarters[:first], speed, turn)
            with served(out) if n_pages else nullcontext() as server, open_pages(server, n_pages):
                time.sleep(SETTLED_S)
                cpu_at = (cpu_s(runner.pid), server.cpu_s() if server else 0.0, time.monotonic())
                send(shake, port, quarters[first:], speed, turn)
                time.sleep(SETTLED_S)  # the last event is told
                turn.runner_cpu_s = cpu_s(runner.pid) - cpu_at[0]
                if server:
                    turn.server_share = (server.cpu_s() - cpu_at[1]) / (time.monotonic() - cpu_at[2])
    finally:
        runner.terminate()
        runner.wait(60.0)
        os.close(told_fd)
    return turn


def busy_signal(minutes: float) -> ShakeSignal:
    """Return a minute of noise, and quakes one after another."""
    n_quakes = int((minutes - 1.0) * 60.0 / (BEFORE_S + AFTER_S))
    whole = shake_signal(np.random.default_rng(1), 90.0 + QUAKE_EVERY_S * n_quakes)
    onsets = [round((onset_ns - START_NS) / 1e9 * RATE_HZ) for onset_ns in whole.onsets_ns]
    before, after = (int(seconds * RATE_HZ) for seconds in (BEFORE_S, AFTER_S))
    parts = [whole.samples[:, onset - before : onset + after] for onset in onsets]
    return ShakeSignal(np.concatenate([whole.samples[:, : int(60 * RATE_HZ)], *parts], axis=1), ())


def free_port() -> int:
    """Return a UDP port that nobody listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_bound(port: int, runner: subprocess.Popen[bytes]) -> None:
    """Wait until the runner listens: what is sent before would be lost."""
    while f":{port:04X} " not in Path("/proc/net/udp").read_text():
        if runner.poll() is not None:
            raise SystemExit("the runner has ended")
        time.sleep(0.05)


def send(shake: socket.socket, port: int, quarters: list[list[bytes]], speed: float, turn: Turn) -> None:
    """Send quarters of a second at their pace."""
    begun_s = time.monotonic()
    for i, datagrams in enumerate(quarters):
        time.sleep(max(0.0, begun_s + i * DATAGRAM_SAMPLES / RATE_HZ / speed - time.monotonic()))
        for data in datagrams:
            shake.sendto(data, ("127.0.0.1", port))
        turn.sent_s.append(time.monotonic())


@contextmanager
def watched(told_fd: int, turn: Turn) -> Iterator[None]:
    """Note when events are told."""
    is_over, names = threading.Event(), set[bytes]()

    def watch() -> None:
        while not is_over.is_set():
            if select.select([told_fd], [], [], 0.2)[0]:
                at_s, n_sent = time.monotonic(), len(turn.sent_s)
                for name in re.findall(rb'"alarm": ?"([^"]+)"', os.read(told_fd, 1 << 16)):
                    if name not in names:  # told again when it is final
                        names.add(name)
                        turn.told.append((at_s, n_sent))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@contextmanager
def open_pages(server: Server | None, n: int) -> Iterator[None]:
    """Have pages ask a server."""
    if server is None:
        yield
        return
    process = subprocess.Popen([sys.executable, __file__, "pages", server.address, str(n)])
    try:
        yield
    finally:
        process.terminate()
        process.wait(30.0)


def ask_for_ever(address: str, n: int) -> None:
    """Ask as `n` open pages do."""
    server = Server(address, 0)

    def ask(page: str, every_s: float, after_s: float) -> None:
        time.sleep(after_s)
        while True:
            server.get(page)
            time.sleep(every_s)

    for i in range(n):
        for page, every_s in (("now/data?minutes=10", 2.0), ("now/health", 5.0)):
            threading.Thread(target=ask, args=(page, every_s, every_s * i / n), daemon=True).start()
    threading.Event().wait()


def measure_latency(work: Path, minutes: float, speed: float, n_turns: int, n_pages: int) -> dict[str, float]:
    """Return figures of the runner alone and beside pages, in turns: latencies in ms, processor time in s."""
    work.mkdir(parents=True, exist_ok=True)
    datagrams = [data for _, data in busy_signal(minutes).datagrams()]
    n = len(CHANNELS)
    quarters = [datagrams[i : i + n] for i in range(0, len(datagrams), n)]
    turns: dict[str, list[Turn]] = {"alone": [], f"{n_pages} pages": []}
    for i in range(2 * n_turns):
        name = list(turns)[i % 2]
        turns[name].append(run_turn(work, quarters, speed, n_pages if i % 2 else 0))
        print(f"{name}: {len(turns[name][-1].told)} events told", file=sys.stderr)
    every = [turn for group in turns.values() for turn in group]
    n_events = min(len(turn.told) for turn in every)
    decides = [min(turn.told[k][1] for turn in every) - 1 for k in range(n_events)]
    figures: dict[str, float] = {"events a turn": n_events}
    for name, group in turns.items():
        took_ms = [1e3 * (turn.told[k][0] - turn.sent_s[decides[k]]) for turn in group for k in range(n_events)]
        for share in (50, 95, 100):
            figures[f"{name}: p{share} ms"] = float(np.percentile(took_ms, share))
        figures[f"{name}: CPU s of the runner a turn"] = float(np.mean([turn.runner_cpu_s for turn in group]))
        shares = [turn.server_share for turn in group if turn.server_share is not None]
        if shares:
            figures[f"{name}: share of a core of the server"] = float(np.mean(shares))
    return figures


def main() -> None:
    """Measure what the command line names, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    memory = what.add_parser("memory")
    memory.add_argument("run", type=Path)
    memory.add_argument("--idle-s", type=float, default=IDLE_S)
    latency = what.add_parser("latency")
    latency.add_argument("--out", type=Path, required=True)
    latency.add_argument("--minutes", type=float, default=20.0, help="of the signal")
    latency.add_argument("--speed", type=float, default=4.0, help="times that of a real Shake")
    latency.add_argument("--turns", type=int, default=3, help="of each kind")
    latency.add_argument("--pages", type=int, default=10)
    pages = what.add_parser("pages", help="ask a server as open pages do, until it is ended")
    pages.add_argument("address")
    pages.add_argument("n", type=int)
    given = parser.parse_args()
    if given.what == "pages":
        ask_for_ever(given.address, given.n)
    if given.what == "memory":
        figures = measure_memory(given.run, given.idle_s)
    else:
        figures = measure_latency(given.out, given.minutes, given.speed, given.turns, given.pages)
    for name, value in figures.items():
        print(f"{name:45s} {value:.4g}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
