"""What `edgequake scan` promises, shown at length: the figures of docs/scan.md.

    python studies/scan_proof.py --out out/scan-proof [--only NAME ...] [--days 30] [--stations 4] [--kills 50]

equality   shards of 1, 3 and 10 days, 1 and 2 workers, against one serial run, row by row
records    every real record of 10 h or more, cut into shards of a day (EDGEQUAKE_DATA)
kills      workers and drivers killed at random, the result compared
drivers    two drivers at once: no shard done twice
lead       events gained and lost in shards of a day with a lead-in, by its length
sleepers   100 000 shards that sleep: start and memory of the driver
workers    one and two workers: efficiency
cost       station-days a CPU-second by model, reading apart, with and without the C core; the bill
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.cli import PROGRAM
from edgequake.edge.base.control import Control
from edgequake.edge.results.catalog import catalog_text, parse_row
from edgequake.edge.runner import RunConfig, run
from edgequake.scan.driving import Driver, Piece, Progress
from edgequake.scan.engines import DaskEngine, InProcess
from edgequake.scan.preparation import ScanConfig
from edgequake.scan.scan_results import ScanResult
from edgequake.scan.scanning import ShardMarks, scan
from edgequake.scan.seams import compare, frame_ns_of
from edgequake.scan.storage.leases import Leases
from edgequake.scan.storage.parquet_catalog import catalog_paths, plain_row, read_rows
from edgequake.scan.storage.scan_folder import ScanFolder
from edgequake.synthetic.synthetic_dataset import DAY_START_NS, synthetic_record, write_miniseed

DAY_NS = 86_400 * 10**9
PRICE_USD = 0.0148  # a vCPU-hour, QuakeScope's estimate of a spot machine
QUAKESCOPE_CPU_S = 34.0  # a station-day, their plan of 2026
PLANS = {"Apollo, long period": ("moon", 9_540), "InSight VBB": ("mars", 1_450), "western US": ("earth", 33.8e6)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/scan-proof"))
    parser.add_argument("--only", nargs="*", choices=PROOFS, default=list(PROOFS))
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--stations", type=int, default=4)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--driver-kills", type=int, default=10)
    parser.add_argument("--lead-hours", type=float, nargs="*", default=[0.5, 2.0, 6.0, 12.0, 24.0])
    parser.add_argument("--sleepers", type=int, default=100_000)
    parser.add_argument(
        "--work", type=Path, help="keep archive and serial run here, for the next call with these sizes"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            begun_s = time.monotonic()
            figures = PROOFS[name](options, Path(folder))
            (options.out / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
            print(f"{name}: {json.dumps(figures)} ({time.monotonic() - begun_s:.0f} s)", flush=True)


def kept(options: argparse.Namespace, folder: Path) -> Path:
    """Return where what several proofs need is made: once."""
    root: Path = folder if options.work is None else options.work / f"{options.days}-{options.stations}"
    root.mkdir(parents=True, exist_ok=True)
    return root


def archive(options: argparse.Namespace, folder: Path) -> Path:
    """Synthesise days of stations, once, with quakes shortly before midnight, missing days and half days."""
    root = kept(options, folder) / "archive"
    if root.exists():
        return root
    part = root.with_name("archive.part")
    part.mkdir()
    for i in range(options.stations):
        rng = np.random.default_rng([11, i])
        for day in range(options.days):
            if day % 9 == 5 + i % 3:
                continue  # a day is missing
            start_s = float(rng.uniform(0, 43_200)) if day % 7 == 3 else 0.0
            onsets = [*sorted(rng.uniform(600, 86_300 - start_s, 2).tolist()), 86_350.0 - start_s]
            record = synthetic_record(
                rng,
                86_400.0 - start_s,
                onsets,
                start_ns=DAY_START_NS + day * DAY_NS + round(start_s * 1e9),
                station=f"S{i}",
            )
            write_miniseed(record, part / f"S{i}.{day:03d}.mseed")
    part.rename(root)
    return root


def serial(inputs: Path, out: Path, model: str) -> str:
    """Return the catalogue of a serial run."""
    return catalog_text(run(RunConfig(inputs=(str(inputs),), out=out, model=model)).events)


def serial_of_archive(options: argparse.Namespace, folder: Path) -> str:
    """Return the catalogue of a serial run on the archive, which is made once."""
    path = kept(options, folder) / "serial.csv"
    if not path.exists():
        path.write_text(serial(archive(options, folder), folder / "serial", "moon"))
    return path.read_text()


def catalog(out: Path) -> str:
    """Return the catalogue of a scan as a run would write it, and read it back."""
    return catalog_text(plain_row(row) for row in read_rows(catalog_paths(ScanFolder(out))))


def equality(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    root = archive(options, folder)
    expected = serial_of_archive(options, folder)
    found = {}
    for days in (1, 3, 10):
        for n_workers in (1, 2):
            out = folder / f"equality-{days}-{n_workers}"
            result = scan(ScanConfig(str(root), out, model="moon", shard_days=days, n_workers=n_workers))
            is_equal = same_rows(catalog(out), expected)
            found[f"{days} d, {n_workers} worker(s)"] = [result.n_shards, result.n_events, is_equal]
            print(f"{days} d, {n_workers} worker(s): equal {is_equal}, {result.cpu_s:.0f} CPU-s", flush=True)
            assert is_equal, (days, n_workers)
    return {"rows": len(expected.splitlines()), "shards, events, equal": found}


def same_rows(text: str, expected: str) -> bool:
    """Whether two catalogues have the same rows."""
    return sorted(text.splitlines()) == sorted(expected.splitlines())


def records(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    data = Path(os.environ.get("EDGEQUAKE_DATA", "../shared/data"))
    rows = [row for row in csv.DictReader((data / "records.csv").open()) if float(row["duration_s"]) >= 36_000]
    names = sorted({(row["body"], row["file"]) for row in rows})
    n_rows = n_shards = 0
    for i, (body, name) in enumerate(names):
        own = folder / f"record-{i}"
        own.mkdir()
        (own / Path(name).name).symlink_to((data / name).resolve())
        expected = serial(own, folder / f"record-run-{i}", model=body)
        result = scan(
            ScanConfig(str(own), folder / f"record-scan-{i}", model=body, shard_days=1, n_seams=0), engine=InProcess()
        )
        assert same_rows(catalog(folder / f"record-scan-{i}"), expected), name
        n_rows, n_shards = n_rows + result.n_events, n_shards + result.n_shards
    return {"records": len(names), "shards": n_shards, "rows": n_rows, "equal": True}


def command(root: Path, out: Path, *more: str) -> list[str]:
    return [*PROGRAM, "scan", str(root), "--out", str(out), "--model", "moon", "--shard-days", "1", *more]


def kills(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    root, rng = archive(options, folder), random.Random(3)
    expected = serial_of_archive(options, folder)
    out, n_workers, n_drivers, n_scans = folder / "kills", 0, 0, 0
    while n_drivers < options.driver_kills or n_workers < options.kills:
        driver = subprocess.Popen(
            # What ten workers have died with counts as failed, and is tried again.
            command(root, out, "--workers", "2", "--retry-failed"),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        ends_s = time.monotonic() + rng.uniform(20, 60)
        while driver.poll() is None and time.monotonic() < ends_s:
            time.sleep(rng.uniform(1.0, 5.0))
            workers = children(driver.pid)
            if workers and n_workers < options.kills:
                os.kill(rng.choice(workers), signal.SIGKILL)
                n_workers += 1
        if driver.poll() is None:
            driver.kill()
            n_drivers += 1
        driver.wait()
        n_done = len(ScanFolder(out).done()) if out.exists() else 0
        print(f"{n_workers} worker(s) and {n_drivers} driver(s) killed, {n_done} shard(s) done", flush=True)
        if driver.returncode == 0:  # it was done too soon: from the beginning
            assert same_rows(catalog(out), expected)
            n_scans += 1
            out = folder / f"kills-{n_workers}-{n_drivers}"
    subprocess.run(command(root, out, "--workers", "2", "--retry-failed"), check=True, stderr=subprocess.DEVNULL)
    assert same_rows(catalog(out), expected)
    return {"workers killed": n_workers, "drivers killed": n_drivers, "scans": n_scans + 1, "equal": True}


def children(pid: int) -> list[int]:
    """Return the worker processes of a driver: those that its processes have started and that run Python."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            arguments = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == pid and b"spawn_main" in arguments:
            found.append(int(path.parent.name))
    return found


def drivers(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    root, out = archive(options, folder), folder / "drivers"
    expected = serial_of_archive(options, folder)
    both = [subprocess.Popen(command(root, out, "--workers", "1", "--json"), stdout=subprocess.PIPE) for _ in range(2)]
    ends = [driver.communicate() and driver.returncode for driver in both]
    rows = read_rows(catalog_paths(ScanFolder(out)))
    assert ends == [0, 0] and same_rows(catalog(out), expected)
    return {"drivers": 2, "rows": len(rows), "names": len({row.evid for row in rows}), "equal": True}


def lead(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Compare the whole catalogue of scans with a lead-in, in shards of a day, with that of the serial run."""
    root, found = archive(options, folder), {}
    expected = [parse_row(line) for line in serial_of_archive(options, folder).splitlines()]
    for hours in options.lead_hours:
        out = folder / f"lead-{hours}"
        config = ScanConfig(str(root), out, model="moon", shard_days=1, lead_in_s=hours * 3600, n_seams=0)
        result = scan(config, engine=InProcess())
        rows = [parse_row(line) for line in catalog(out).splitlines()]
        report = compare(expected, rows, frame_ns_of("moon"))
        found[f"{hours:g} h"] = {**asdict(report), "n_shards": result.n_shards, "cpu_s": round(result.cpu_s, 1)}
        print(f"lead-in {hours:g} h: {report}", flush=True)
    return found


def sleepers(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Have shards that sleep run by two workers, with marks and leases in files; measure the driver."""
    scan_folder = ScanFolder(folder / "sleepers")
    scan_folder.make()
    begun_s, begun_cpu_s = time.monotonic(), time.process_time()
    chains = ([Piece(f"{chain}-{i}", 86_400.0) for i in range(100)] for chain in range(options.sleepers // 100))
    started: list[float] = []

    def show(progress: Progress) -> None:
        if progress.n_done and not started:
            started.extend((time.monotonic() - begun_s, time.process_time() - begun_cpu_s))

    engine = DaskEngine(2)
    with Leases(scan_folder.leases, scan_folder.drivers) as leases:
        marks = ShardMarks(scan_folder, leases)
        driver = Driver(chains, marks, engine, asleep, lambda piece: (piece.name,), scan_folder.done(), set())
        ready_bytes = peak_bytes()
        driver.run(Control(), show)
    engine.close()
    wall_s = time.monotonic() - begun_s
    return {
        "shards": driver.progress.n_done,
        "first done after s": round(started[0], 1),
        "of them on a processor": round(started[1], 1),
        "peak MB before": round(ready_bytes / 1e6),
        "peak MB at the end": round(peak_bytes() / 1e6),
        "shards a second": round(driver.progress.n_done / wall_s),
    }


def asleep(name: str) -> dict[str, Any]:
    time.sleep(0.001)
    return {"id": name, "is_done": True}


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def workers(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Have one and two workers scan, in turns; the load tells how much of the cores others use meanwhile."""
    root, found = archive(options, folder), []
    for attempt in range(2):
        for n_workers in (1, 2):
            out, begun_s = folder / f"workers-{attempt}-{n_workers}", time.monotonic()
            result = scan(ScanConfig(str(root), out, model="moon", shard_days=10, n_workers=n_workers, n_seams=0))
            figures = {"workers": n_workers, "wall_s": time.monotonic() - begun_s, "cpu_s": result.cpu_s}
            found.append({**figures, "wait_s": waited_s(out), "load": os.getloadavg()[0]})
            print(found[-1], flush=True)
    return {"scans": [{name: round(value, 1) for name, value in one.items()} for one in found]}


def waited_s(out: Path) -> float:
    """Return for how long the shards of a scan waited for a processor, or for a disk."""
    folder = ScanFolder(out)
    figures = [folder.figures(shard_id) for shard_id in folder.done()]
    return float(sum(one["wall_s"] - one["cpu_s"] for one in figures))


def cost(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure a day of three channels by model and core, and the bill of three plans."""
    from edgequake.export_c.library_cache import cached_libraries

    found: dict[str, Any] = {}
    for model, rate_hz, codes in (("moon", 6.625, "MH"), ("mars", 20.0, "BH"), ("earth", 100.0, "HH")):
        root = noise_day(folder / f"cost-{model}", rate_hz, codes)
        for core in ("python", "c"):
            try:
                library = cached_libraries((model,)) if core == "c" else None
            except Exception as problem:  # no compiler, or a model that is not exported
                found[f"{model}, {core}"] = str(problem)
                continue
            config = ScanConfig(
                str(root), folder / f"cost-{model}-{core}", model=model, core=core, core_library=library, n_seams=0
            )
            result: ScanResult = scan(config, engine=InProcess())
            found[f"{model}, {core}"] = {
                "cpu_s a station-day": round(result.cpu_s - result.read_cpu_s, 3),
                "reading_s a station-day": round(result.read_cpu_s, 3),
                "station-days a CPU-second": round(1.0 / result.cpu_s, 3),
            }
    bill = {}
    for plan, (model, station_days) in PLANS.items():
        figures = found[f"{model}, python"]
        cpu_s = figures["cpu_s a station-day"] + figures["reading_s a station-day"]
        cpu_h = cpu_s * station_days / 3600
        bill[plan] = {"station-days": station_days, "CPU-hours": round(cpu_h, 2), "USD": round(cpu_h * PRICE_USD, 2)}
        bill[plan]["USD at 34 s a station-day"] = round(QUAKESCOPE_CPU_S * station_days / 3600 * PRICE_USD, 2)
    return {"cost": found, "bill": bill}


def noise_day(folder: Path, rate_hz: float, codes: str) -> Path:
    """Write a day of noise of three channels."""
    from edgequake.edge.formats.miniseed import encode
    from edgequake.edge.formats.waveforms import Trace

    folder.mkdir()
    rng = np.random.default_rng(8)
    for component in "ZNE":
        source_id = f"FDSN:NN_AAA_00_{codes[0]}_{codes[1]}_{component}"
        samples = np.cumsum(rng.normal(0, 30, round(86_400 * rate_hz))) * 0.1 + rng.normal(
            0, 40, round(86_400 * rate_hz)
        )
        trace = Trace(source_id, DAY_START_NS, rate_hz, np.rint(samples).astype(np.int32))
        (folder / f"{component}.mseed").write_bytes(encode([trace]))
    return folder


PROOFS: dict[str, Callable[[argparse.Namespace, Path], dict[str, Any]]] = {
    "equality": equality,
    "records": records,
    "kills": kills,
    "drivers": drivers,
    "lead": lead,
    "sleepers": sleepers,
    "workers": workers,
    "cost": cost,
}

if __name__ == "__main__":
    main()
