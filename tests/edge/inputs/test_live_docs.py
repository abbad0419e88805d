"""The statements of docs/live.md about datagrams are true."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import numpy as np

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.waveforms import duration_ns
from edgequake.edge.inputs.datagrams import DatagramDecoder, parse_raw
from edgequake.edge.inputs.udp import UdpReceiver, parse_address
from edgequake.synthetic import synthetic_dataset


def test_datagrams_of_the_example_are_received(root: Path, quake: synthetic_dataset.SyntheticRecord) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (root / "docs" / "live.md").read_text(), re.DOTALL)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    diagnostics = Diagnostics()
    receiver = UdpReceiver(diagnostics)
    receiver.listen(parse_address(f"udp://:{number}"), DatagramDecoder("x", diagnostics, lambda line: None))
    blocks = np.array_split(quake.samples[0][:3000], 20)
    exec(compile(example.replace("9000", str(number)), "docs/live.md", "exec"), {"blocks": blocks})
    arrivals, traces = receiver.arrivals(), []
    while (received := next(arrivals)) is not None:
        traces += received
    np.testing.assert_array_equal(np.concatenate([trace.samples for trace in traces]), quake.samples[0][:3000])
    assert {trace.source_id for trace in traces} == {"FDSN:XX_LUN_00_M_H_Z"} and diagnostics.texts() == []
    assert traces[-1].stop_ns == traces[0].start_ns + duration_ns(3000, 6.625)


def test_the_table_names_each_byte(root: Path) -> None:
    """A datagram with the fields of the table at the positions of the table is read as the table says."""
    text = (root / "docs" / "live.md").read_text()
    places = dict(re.findall(r"^\| (\d+(?:-\d+)?) \| (\w+)", text, re.MULTILINE))
    assert places == {"0-3": "4", "4": "uint8", "5": "uint8", "6-7": "uint16", "8-15": "int64", "16-23": "float64"}
    datagram = bytearray(24 + 20 + 4)
    datagram[0:4], datagram[4], datagram[5], datagram[6:8] = b"EQS1", 1, 20, (2).to_bytes(2, "little")
    datagram[8:16] = (123_456_789).to_bytes(8, "little", signed=True)
    datagram[16:24] = np.array(50.0, "<f8").tobytes()
    datagram[24:44], datagram[44:] = b"FDSN:XX_LUN_00_M_H_Z", b"\x01\x00\xff\xff"
    trace = parse_raw(bytes(datagram))
    assert (trace.source_id, trace.start_ns, trace.sampling_rate_hz) == ("FDSN:XX_LUN_00_M_H_Z", 123_456_789, 50.0)
    assert trace.samples.tolist() == [1, -1]
