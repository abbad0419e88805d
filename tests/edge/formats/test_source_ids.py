"""Source identifiers: every one that the FDSN allows is split and made again, any other is refused in one line."""

from __future__ import annotations

import io

import numpy as np
import obspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.record_scanner import RecordScanner
from edgequake.edge.formats.source_ids import (
    MOST_LETTERS,
    channel_of,
    channel_title,
    require_source_id,
    source_id_of,
    split_source_id,
    station_of,
)
from edgequake.edge.formats.waveforms import Trace

CODE = st.from_regex(r"[A-Za-z0-9-]{0,8}", fullmatch=True)
CODES = st.tuples(CODE, CODE, CODE, CODE, CODE, CODE)
LONGEST = "FDSN:NETWORK8_STATION8_LOCATIO8_" + "B" * 15 + "_" + "S" * 13 + "_Z"


def read(data: bytes, diagnostics: Diagnostics) -> list[Trace]:
    scanner = RecordScanner("stream", diagnostics, decode=True)
    return [record.trace() for record in scanner.feed(data, at_end=True)]


@given(CODES)
def test_codes_are_split_and_made_again(codes: tuple[str, ...]) -> None:
    source_id = "FDSN:" + "_".join(codes)
    assert require_source_id(source_id) == source_id
    found = split_source_id(source_id)
    assert (found.network, found.station, found.location, found.band, found.source, found.subsource) == codes
    assert station_of(source_id) == f"{codes[0]}_{codes[1]}"
    assert source_id_of(*codes[:3], found.channel if "_" in found.channel else "_".join(codes[3:])) == source_id


@given(CODES, CODES)
def test_different_identifiers_have_different_titles(codes: tuple[str, ...], others: tuple[str, ...]) -> None:
    one, other = ("FDSN:" + "_".join(each) for each in (codes, others))
    assert (one == other) == (channel_of(one) == channel_of(other) and codes[:3] == others[:3])


@given(st.lists(CODES, min_size=1, max_size=3, unique=True))
def test_records_of_any_codes_are_written_and_read(all_codes: list[tuple[str, ...]]) -> None:
    samples = np.arange(50, dtype=np.int32)
    sent = [Trace("FDSN:" + "_".join(codes), 10**9, 20.0, samples) for codes in all_codes]
    diagnostics = Diagnostics()
    got = read(encode(sent), diagnostics)
    assert [trace.source_id for trace in got] == [trace.source_id for trace in sent] and diagnostics.texts() == []
    assert all(np.array_equal(trace.samples, samples) for trace in got)


@pytest.mark.parametrize(
    ("codes", "channel", "title"),
    [
        (("XX", "TEST", "00", "BHZ"), "BHZ", "XX_TEST_00_BHZ"),
        (("", "TEST", "", "BHZ"), "BHZ", "_TEST__BHZ"),
        (("xx", "test", "a1", "bhz"), "bhz", "xx_test_a1_bhz"),
        (("XX", "A-B", "--", "LOG"), "LOG", "XX_A-B_--_LOG"),
        (("XX", "A_1", "00", "BHZ"), "BHZ", "XX_A_1_00_BHZ"),
        (("XX", "T", "", "BH"), "BH", "XX_T__BH"),
        (("XX", "T", "", "Z"), "Z", "XX_T__Z"),
        (("", "", "", ""), "", "___"),
    ],
)
def test_codes_of_obspys_records_are_obspys(codes: tuple[str, str, str, str], channel: str, title: str) -> None:
    obspy_trace = obspy.Trace(np.arange(100, dtype=np.int32))
    stats = obspy_trace.stats
    stats.network, stats.station, stats.location, stats.channel = codes
    buffer = io.BytesIO()
    obspy_trace.write(buffer, format="MSEED", encoding="STEIM2")
    (trace,) = read(buffer.getvalue(), Diagnostics())
    found = split_source_id(trace.source_id)
    assert (found.network, found.station, found.location, found.channel) == codes and found.channel == channel
    assert channel_title(trace.source_id) == title and source_id_of(*codes) == trace.source_id


@pytest.mark.parametrize(
    "source_id",
    ["", "LUN", "FDSN:", "FDSN:XX_LUN_00_MHZ", "XFDSN:XX_LUN_00_M_H_Z", "FDSN:XX_../.._00_M_H_Z", LONGEST + "1",
     "FDSN:XX_.._00_M_H_Z", "FDSN:XX_A.B_00_M_H_Z", "FDSN:XX_A B_00_M_H_Z", "FDSN:XX_LÜN_00_M_H_Z",
     "FDSN:XX_LUN\r_00_M_H_Z", "FDSN:XX_LUN_00_M_H_Z\n", "FDSN:XX_LUN\0_00_M_H_Z", "FDSN:XX_A\\B_00_M_H_Z",
     "FDSN:XX_LUN:1_00_M_H_Z", "FDSN:XX_\u0661_00_M_H_Z"],
)  # fmt: skip
def test_other_identifiers_are_refused_in_one_line(source_id: str) -> None:
    with pytest.raises(DataError) as caught:
        require_source_id(source_id)
    text = str(caught.value)
    assert text.startswith("source identifier '") and text.isascii() and text.isprintable()


def test_the_longest_identifier() -> None:
    assert len(LONGEST) == MOST_LETTERS and require_source_id(LONGEST) == LONGEST
    (trace,) = read(encode([Trace(LONGEST, 0, 20.0, np.arange(9, dtype=np.int32))]), Diagnostics())
    assert trace.source_id == LONGEST


@pytest.mark.parametrize("channel", ["BHZZ", "B_H_Z_Z", "B/Z", "BÉZ"])
def test_channel_codes_of_another_form_are_refused(channel: str) -> None:
    with pytest.raises(DataError, match="expected"):
        source_id_of("XX", "LUN", "00", channel)


@pytest.mark.parametrize("station", [b"S/../", b"S\r\n12", "é12 ".encode(), b"S\xff12 ", b"..   ", b"S:A  "])
def test_a_record_with_other_codes_is_left_out_and_counted(station: bytes) -> None:
    good = encode([Trace("FDSN:XX_LUN_00_M_H_Z", i * 10**9, 20.0, np.arange(20, dtype=np.int32)) for i in range(3)])
    bad = bytearray(good[:512])
    bad[8:13] = station
    diagnostics = Diagnostics()
    traces = read(good[:512] + bytes(bad) + good[512:], diagnostics)
    assert [trace.source_id for trace in traces] == ["FDSN:XX_LUN_00_M_H_Z"] * 3
    (text,) = diagnostics.texts()
    assert text.startswith(
        "stream: 1 damaged record(s) left out; the first: the record at byte 512 has no usable codes"
    )
    assert text.isascii() and text.isprintable() and diagnostics.unreadable_bytes == 512
