"""Groups of commands on a lander: each group is a function that makes its own input, so that it can run alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace

import numpy as np

if __package__:
    from . import golden_inputs as inputs
    from .golden_commands import Workplace, free_port, send
else:  # run as a script
    import golden_inputs as inputs
    from golden_commands import Workplace, free_port, send

MOON, MARS, EARTH = (inputs.BODIES[name] for name in ("moon", "mars", "earth"))
QUAKES = {
    "moon": (14_400.0, ((3600.0, 25.0), (9000.0, 6.0))),
    "mars": (5400.0, ((1500.0, 20.0), (3600.0, 6.0))),
    "earth": (400.0, ((100.0, 30.0), (200.0, 8.0), (300.0, 50.0))),
}
S, H = inputs.S, 3600 * inputs.S


def moon_rows(seed: int = 3, duration_s: float = 7200.0, onset_s: float = 3600.0) -> inputs.Counts:
    """Return three lunar channels with one strong quake."""
    return inputs.signal(MOON, seed, duration_s, ((onset_s, 25.0),))


def write(place: Workplace, name: str, records: list[bytes]) -> str:
    """Write records to a file."""
    path = place.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(records))
    return name


# --- files -----------------------------------------------------------------------------------------------------------


def day(place: Workplace) -> None:
    """The synthetic lunar day of `make demo`: three channels with gaps; spans, channels, thresholds."""
    place.desktop("synth", "--kind", "day", "--seed", "1", "--out", "day")
    place.add_tree("synth", "day")
    record = "day/xx.lun.00.2030-01-01.mseed"
    place.edge("run", record, "--out", "run")
    place.add_run("run", "run", 4)
    place.edge("run", record, "--out", "span", "--start", "2030-01-01T02:30:00", "--stop", "2030-01-01T10:00:00.5")
    place.add_run("span", "span", 2)
    place.edge("run", record, "--out", "channels", "--channels", "MHZ,MH1", "--threshold", "0.9")
    place.add_run("channels", "channels")
    printed = place.edge("run", record, "--out", "channels", "--channels", "MHZ", "--force", "--json")
    place.add_json("printed", json.loads(printed))


def dataset(place: Workplace) -> None:
    """A folder of twenty files, written by `synth --kind dataset`."""
    place.desktop("synth", "--kind", "dataset", "--seed", "1", "--out", "data")
    place.add_tree("synth", "data")
    place.edge("run", "data/moon", "--out", "run")
    place.add_run("run", "run", 20)


def bodies(place: Workplace) -> None:
    """Every shipped model at every sensitivity, on a signal in which some quakes are weak."""
    for name, (duration_s, quakes) in QUAKES.items():
        body = inputs.BODIES[name]
        record = write(place, f"{name}.mseed", inputs.body_records(body, inputs.signal(body, 3, duration_s, quakes)))
        place.add_file(f"input/{record}", record)
        for sensitivity in ("low", "normal", "high"):
            out = f"{name}-{sensitivity}"
            place.edge("run", record, "--model", name, "--sensitivity", sensitivity, "--out", out)
            place.add_run(out, out)


def encodings(place: Workplace) -> None:
    """One channel in every encoding, in both versions of miniSEED, as float, and as CSV of the packet."""
    samples = moon_rows()[2]
    values = samples / 8.0
    forms = {
        "steim1": (samples, {"encoding": "steim1", "size": 4096}),
        "int16": (samples, {"encoding": "int16"}),
        "int32": (samples, {"encoding": "int32", "size": 256}),
        "float32": (values, {"encoding": "float32"}),
        "float64": (values, {"encoding": "float64", "size": 1024}),
        "version3": (samples, {"version": 3}),
    }
    for name, (row, options) in forms.items():
        records = inputs.records(inputs.MOON_Z, MOON.rate_hz, row, **options)  # type: ignore[arg-type]
        write(place, f"{name}.mseed", [data for _, data in records])
        place.edge("run", f"{name}.mseed", "--out", name)
        place.add_run(name, name)
    packet = "xa.s12.00.mhz.2030-01-01HR00_evid00001.csv"
    inputs.write_packet_csv(place.folder / packet, MOON.rate_hz, samples)
    place.edge("run", packet, "--out", "packet")
    place.add_run("packet", "packet")


def faults(place: Workplace) -> None:
    """Damaged, duplicated and truncated files of two stations, lost samples, a dead channel, other sampling rates."""
    rng, rows = np.random.default_rng(8), moon_rows(4, 14_400.0, 9000.0)
    rows[0, 30_000:30_400] = -1  # fill values
    rows[1, :] = 512  # dead
    torn = inputs.body_records(MOON, rows, gaps=((20_000, 20_100), (40_000, 46_000)))
    torn[9] = torn[9][:64] + rng.bytes(448)  # samples that cannot be decoded
    torn[15] = b"\x00" * 20 + torn[15][20:]  # a damaged header
    torn[21] = torn[21][:300]  # truncated
    for i in range(0, len(torn), 17):
        torn[i] += rng.bytes(int(rng.integers(1, 700)))
    write(place, "in/torn.mseed", torn)
    other = moon_rows(5)
    halves = [
        inputs.records("FDSN:XX_SOL__M_H_Z", MOON.rate_hz, other[2, a:b], a) for a, b in ((0, 30_000), (29_000, 47_700))
    ]
    for i, half in enumerate(halves):  # they overlap
        write(place, f"in/{i}/sol.mseed", [data for _, data in half])
    floats = other[0] / 4.0
    floats[10_000:10_050], floats[12_000] = np.nan, np.inf
    lost = inputs.records("FDSN:XX_NAN_00_M_H_Z", MOON.rate_hz, floats, encoding="float32")
    write(place, "in/nan.mseed", [data for _, data in lost])
    fast = inputs.records("FDSN:XX_FAST_00_B_H_Z", 50.0, np.arange(5000) % 7)
    write(place, "in/fast.mseed", [data for _, data in fast])
    shutil.copy(place.folder / "in/1/sol.mseed", place.folder / "in/1/sol-again.mseed")
    write(place, "in/readme.txt", [b"not a record"])
    place.edge("run", "in", "--out", "run")
    place.add_run("run", "run", 2)


def rates(place: Workplace) -> None:
    """The terrestrial model at the other sampling rates that it supports."""
    for rate_hz in (20.0, 40.0):
        channels = tuple(name.replace("_E_H_", "_B_H_") for name in EARTH.channels)
        body = replace(EARTH, rate_hz=rate_hz, channels=channels)
        name = f"{rate_hz:g}-hz"
        write(place, f"{name}.mseed", inputs.body_records(body, inputs.signal(body, 6, 300.0, ((150.0, 40.0),))))
        place.edge("run", f"{name}.mseed", "--model", "earth", "--sensitivity", "high", "--out", name)
        place.add_run(name, name)


def resume(place: Workplace) -> None:
    """A run over files that gets SIGTERM at its first event and is resumed: the output of an uninterrupted run."""
    for i in range(6):
        rows = moon_rows(20 + i, 10_800.0, 6000.0)
        shifted = [d.replace(b"LUN  ", f"ST{i}  ".encode(), 1) for d in inputs.body_records(MOON, rows)]
        write(place, f"in/st{i}.mseed", shifted)
    place.edge("run", "in", "--out", "whole")
    place.add_run("whole", "whole", 6)
    hook = "sh -c 'test -e stopped || { touch stopped; kill -TERM $PPID; }'"
    words = ("run", "in", "--out", "stopped-run", "--checkpoint-every", "0", "--on-event", hook, "--resume")
    for _ in range(20):
        if place.refused("edge", *words)[0] == 143:
            break
        shutil.rmtree(place.folder / "stopped-run")  # the last record was read before the signal came: once more
        (place.folder / "stopped").unlink()
    else:
        raise RuntimeError("no run was stopped before its last record")
    place.edge(*words)
    place.add_run("resumed", "stopped-run", 6)  # `resumed` in the summary shows that it was stopped
    for name in [key for key in place.found if "/whole/" in key and "summary" not in key]:
        if place.found[name] != place.found[name.replace("/whole/", "/resumed/")]:
            raise RuntimeError(f"{name} differs in the resumed run")


# --- live inputs -----------------------------------------------------------------------------------------------------


def stdin(place: Workplace) -> None:
    """Records and raw samples on standard input; disorder, junk, duplicates, a clock set back, a changed rate."""
    rows = moon_rows()
    good = inputs.body_records(MOON, rows)
    place.edge("run", "-", "--out", "records", data=b"".join(good))
    place.add_run("records", "records")
    rng, bad = np.random.default_rng(9), list(good)
    for i in range(10, len(bad) - 1, 10):
        bad[i], bad[i + 1] = bad[i + 1] + rng.bytes(100), bad[i] + bad[i]
    place.edge("run", "-", "--out", "disorder", data=b"".join(bad))
    place.add_run("disorder", "disorder")
    back = [inputs.records(inputs.MOON_Z, MOON.rate_hz, rows[2], shift_ns=s * 24 * H) for s in (0, -3)]
    other_rate = inputs.records(inputs.MOON_Z, 13.25, np.repeat(rows[2], 2), 200_000)
    parts = [data for part in (*back, other_rate) for _, data in part]
    place.edge("run", "-", "--out", "clock", data=b"".join(parts))
    place.add_run("clock", "clock", 2)
    for dtype in ("int16", "int32", "float32"):
        raw = f"{MOON.rate_hz},{dtype},{inputs.MOON_Z},2030-01-01T00:00:00"
        place.edge("run", "-", "--raw", raw, "--out", dtype, data=rows[2].astype(dtype).tobytes() + b"\0")
        place.add_run(f"raw-{dtype}", dtype)


def follow(place: Workplace) -> None:
    """A folder that is written while it is followed, a record in halves; stopped, and continued."""
    rows = moon_rows()
    data = b"".join(inputs.body_records(MOON, rows))
    path = place.folder / "in" / "all.mseed"
    path.parent.mkdir()
    path.write_bytes(data[: 512 * 60 + 200])
    n_first = sum(inputs.n_samples(data[i : i + 512]) for i in range(0, 512 * 60, 512))
    options = ("in", "--follow", "--poll", "0.02", "--resume")
    place.live("run", n_first, lambda: None, *options)
    first = (place.folder / "run" / "catalog.csv").read_text().splitlines()

    def append() -> None:
        with path.open("ab") as file:
            file.write(data[512 * 60 + 200 :])

    place.live("run", rows.size, append, *options)
    place.add("events-of-first", "\n".join(first))
    place.add_run("run", "run")
    place.add_status("run", "run")


def udp(place: Workplace) -> None:
    """Datagrams of records with junk in between, and of raw samples, some of them lost, late or duplicated."""
    rows = moon_rows()
    port = free_port()
    parts = [part for data in inputs.body_records(MOON, rows) for part in (data, b"junk" * (data[20] % 5 + 1))]
    place.live("records", rows.size, lambda: send(port, parts), f"udp://127.0.0.1:{port}")
    place.add_run("records", "records", hide=str(port))
    port = free_port()
    raw = list(inputs.raw_datagrams(inputs.MOON_Z, MOON.rate_hz, rows[2]))
    raw[200], raw[201] = raw[201], raw[200]
    raw[300:300] = [raw[290]]
    del raw[100]
    # The duplicate counts, and after a loss three are always held in the reorder buffer until the run ends.
    n_samples = 60 * (len(raw) - 3)
    place.live("raw", n_samples, lambda: send(port, raw), f"udp://127.0.0.1:{port}")
    place.add_run("raw", "raw", hide=str(port))


def shake(place: Workplace) -> None:
    """The datacast of a Raspberry Shake."""
    rows = inputs.signal(EARTH, 7, 240.0, ((120.0, 40.0),))
    port = free_port()
    sent = list(inputs.shake_datagrams(EARTH, rows))
    address = f"shake://127.0.0.1:{port}/AM_R0E05"
    place.live("run", rows.size, lambda: send(port, sent), address, "--model", "earth", "--sensitivity", "high")
    place.add_run("run", "run", hide=str(port))


# --- archive, downlink and event hook --------------------------------------------------------------------------------

TELL = "cat >> told.jsonl"
EVERYTHING = ("--archive-bytes", "300000", "--summary-channel", "--budget", "60000", "--pass-every", "900")
KEPT = ("archive", "continuous", "outbox")


def add_kept(place: Workplace, name: str, out: str) -> None:
    """Hash archive, SSAM channels, outbox, journal, requests, output of the event hook, and the status."""
    for folder in KEPT:
        place.add_tree(f"{name}/{folder}", f"{out}/{folder}")
    # A request is named by the time and the process that made it.
    requests = sorted((place.folder / out / "requests").iterdir())
    journal = (place.folder / out / "downlink.log").read_text(encoding="utf-8")
    for i, path in enumerate(requests):
        place.add(f"{name}/requests/{i}{path.suffix}", path.read_bytes())
        journal = journal.replace(path.stem, f"REQUEST{i}")
    place.add(f"{name}/downlink.log", journal)
    place.add_file(f"{name}/told.jsonl", "told.jsonl")
    place.add_status(name, out)


def store_files(place: Workplace) -> None:
    """All services on a day in a file: SIGTERM at the first event, a request, and a resumed run that serves it."""
    place.desktop("synth", "--kind", "day", "--seed", "1", "--out", "day")
    hook = f"sh -c '{TELL}; test -e stopped || {{ touch stopped; kill -TERM $PPID; }}'"
    words = ("run", "day/xx.lun.00.2030-01-01.mseed", "--out", "run", *EVERYTHING, "--resume")
    words = (*words, "--checkpoint-every", "0", "--on-event", hook)
    place.edge(*words, expect=143)
    place.edge("request", "run", "2030-01-01T20:00:00", "2030-01-01T20:20:00", "--channels", "MHZ", "--send")
    place.edge(*words)
    place.add_run("run", "run", 4)
    add_kept(place, "run", "run")
    place.edge("request", "run", "2030-01-01T19:00:00", "2030-01-01T20:30:00", "--station", "LUN", "--out", "cut.mseed")
    place.add_file("cut.mseed", "cut.mseed")
    place.edge("acknowledge", "run", "--up-to", "20")
    place.add_status("acknowledged", "run")


def store_live(place: Workplace) -> None:
    """All services on a stream in two halves; a request between them is served by the second."""
    start_ns = inputs.START_NS
    records = inputs.body_records(MOON, inputs.signal(MOON, 5, 28_800.0, ((6000.0, 25.0), (20_000.0, 15.0))))
    half = len(records) // 2
    words = ("run", "-", "--out", "run", *EVERYTHING, "--resume", "--on-event", f"sh -c '{TELL}'")
    place.edge(*words, data=b"".join(records[:half]))
    place.add_run("half", "run")
    times = (inputs.iso(start_ns + H), inputs.iso(start_ns + H + 1200 * S))
    place.edge("request", "run", *times, "--channels", "MHZ", "--send")
    place.edge(*words, data=b"".join(records[half:]))
    place.add_run("run", "run", 2)
    add_kept(place, "run", "run")


DEVICE: dict[str, Callable[[Workplace], None]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        day, dataset, bodies, encodings, faults, rates, resume, stdin, follow, udp, shake, store_files, store_live,
    )
}  # fmt: skip
