"""Event classes: inputs against sums by hand, the softmax against scipy, blanks, gain, and any cut of the rows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.special import softmax

from edgequake.edge.base.errors import ManifestError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.event_class import (
    EventClassifier,
    band_octaves,
    class_inputs,
    class_probabilities,
    classify,
)
from edgequake.edge.features.front_end import Rows, StationFrontEnd, station_rows
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.manifest.manifest import Manifest, Variant, parse_manifest
from edgequake.edge.manifest.tables import INPUTS, ClassConfig
from edgequake.synthetic.synthetic_dataset import SyntheticRecord

ROW_S = 10.0
OCTAVES = np.array([-2.0, -1.0, 0.0, 1.0])
CONFIG = ClassConfig(
    names=("impact_mq", "deep_mq"),
    inputs=("pitch", "loudness"),
    spectrum_s=100.0,
    smooth_s=30.0,
    min_live_s=50.0,
    max_event_s=2000.0,
    mean=(-0.5, 1.0),
    scale=(0.5, 0.5),
    weights=((2.0, 0.5), (-2.0, -0.5)),
    bias=(0.1, -0.1),
    min_probability=0.8,
    max_deviation=3.0,
)


def class_of(pitch: float, loudness: float = 1.0) -> str:
    return classify(CONFIG, np.array([pitch, 9.0, loudness, 9.0]))  # inputs that the model does not use may be anything


def inputs_of(excess: np.ndarray) -> np.ndarray | None:
    return class_inputs(
        excess.astype(np.float32), OCTAVES, ROW_S, CONFIG.spectrum_s, CONFIG.smooth_s, CONFIG.min_live_s
    )


def test_inputs_of_a_box_are_those_worked_out_by_hand() -> None:
    excess = np.zeros((40, 4))
    excess[:20] = [
        0.0,
        1.0,
        1.0,
        -0.5,
    ]  # 200 s, longer than the spectrum's average; levels below the background count as zero
    found = inputs_of(excess)
    assert found is not None
    # Spectrum (0, 1, 1, 0): pitch between the two octaves, half an octave about it. The running mean over three rows is
    # 1 on 18 places and 2/3 on one more, 1/3 on the next: 19 places at half the peak or above.
    assert found == pytest.approx([-0.5, 0.5, 1.0, np.log10(190.0)])


def test_a_higher_pitch_changes_only_pitch() -> None:
    rng = np.random.default_rng(3)
    low = np.zeros((60, 4))
    low[:, :2] = rng.uniform(0.1, 1.0, (60, 2))
    below, above = inputs_of(low), inputs_of(np.roll(low, 1, axis=1))
    assert below is not None and above is not None
    assert above - below == pytest.approx([1.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    "excess", [np.ones((4, 4)), np.zeros((0, 4)), np.full((40, 4), -0.3)], ids=["short", "empty", "under background"]
)
def test_too_little_data_is_not_classified(excess: np.ndarray) -> None:
    assert inputs_of(excess) is None
    assert classify(CONFIG, inputs_of(excess)) == ""


def test_probabilities_are_a_softmax() -> None:
    inputs = np.array([-0.2, 9.0, 1.7, 9.0])
    z = (inputs[[0, 2]] - np.array(CONFIG.mean)) / np.array(CONFIG.scale)
    expected = softmax(np.array(CONFIG.weights) @ z + np.array(CONFIG.bias))
    assert class_probabilities(CONFIG, inputs) == pytest.approx(expected)


def test_the_likelier_class_is_given_and_a_doubtful_one_is_not() -> None:
    assert (class_of(0.2), class_of(-1.2), class_of(-0.5)) == ("impact_mq", "deep_mq", "")
    barely = dataclasses.replace(CONFIG, min_probability=float(class_probabilities(CONFIG, np.full(4, -0.4)).max()))
    assert classify(barely, np.full(4, -0.4)) != ""
    assert classify(dataclasses.replace(barely, min_probability=barely.min_probability + 1e-6), np.full(4, -0.4)) == ""


def test_an_untold_class_is_left_blank_and_takes_its_events_from_the_others() -> None:
    quiet = dataclasses.replace(CONFIG, untold=("impact_mq",))
    told = [classify(quiet, np.array([pitch, 9.0, 1.0, 9.0])) for pitch in (0.2, -1.2, -0.5)]
    assert told == ["", "deep_mq", ""]


def test_inputs_far_from_the_training_events_are_not_classified() -> None:
    assert class_of(0.9) == "impact_mq"
    assert class_of(1.1) == ""  # more than three scales above the mean
    assert class_of(0.9, loudness=3.0) == ""


def traces_of(record: SyntheticRecord, gain: float = 1.0, offset: float = 0.0) -> list[Trace]:
    samples = record.samples[0].astype(np.float64)
    samples[record.samples[0] == -1] = np.nan
    return [Trace("FDSN:XX_LUN_00_M_H_Z", record.start_ns, 6.625, samples * gain + offset, "")]


def classifier_of(manifest: Manifest) -> EventClassifier:
    config = dataclasses.replace(CONFIG, spectrum_s=600.0, smooth_s=48.0)
    return EventClassifier(config, manifest.front_end, manifest.sampling_rate_hz)


def part(rows: Rows, first: int, stop: int) -> Rows:
    return Rows(
        rows.t0_ns, rows.block[first:stop], rows.rows[first:stop], rows.valid[first:stop], rows.restart[first:stop]
    )


@pytest.fixture(scope="module")
def rows(quake: SyntheticRecord, moon: tuple[Manifest, bytes, Variant]) -> Rows:
    return station_rows(moon[0].front_end, moon[0].sampling_rate_hz, traces_of(quake))


@pytest.fixture
def span(quake: SyntheticRecord) -> tuple[int, int]:
    return quake.start_ns + 4000 * NS_PER_S, quake.start_ns + 6000 * NS_PER_S


def test_inputs_do_not_depend_on_how_rows_are_cut(
    rows: Rows, span: tuple[int, int], moon: tuple[Manifest, bytes, Variant]
) -> None:
    whole = classifier_of(moon[0])
    whole.add(rows)
    expected = whole.inputs(*span)
    assert expected is not None and expected[2] > 0.5
    for n_rows in (1, 7, 300):
        traced = classifier_of(moon[0])
        for first in range(0, len(rows.block), n_rows):
            traced.add(part(rows, first, first + n_rows))
            if rows.block[first] < 300:  # before the event
                traced.forget_before(rows.t0_ns + int(rows.block[first] * 9.66) * NS_PER_S)
        assert np.array_equal(traced.inputs(*span), expected)


def test_inputs_are_the_same_after_a_checkpoint(
    rows: Rows, span: tuple[int, int], moon: tuple[Manifest, bytes, Variant]
) -> None:
    whole, before, after = (classifier_of(moon[0]) for _ in range(3))
    whole.add(rows)
    before.add(part(rows, 0, 500))
    after.restore(before.state())
    after.add(part(rows, 500, len(rows.block)))
    assert np.array_equal(after.inputs(*span), whole.inputs(*span))


def test_only_the_events_valid_rows_count(
    rows: Rows, span: tuple[int, int], moon: tuple[Manifest, bytes, Variant]
) -> None:
    start_s = (rows.block * 64 + 64) / 6.625  # the newest hop of a window of two
    inside = (start_s >= 4000) & (start_s < 6000) & rows.valid
    config = moon[0].front_end
    expected = class_inputs(rows.rows[inside, 0, :-1], band_octaves(config), 64 / 6.625, 600.0, 48.0, 50.0)
    classes = classifier_of(moon[0])
    classes.add(rows)
    assert np.array_equal(classes.inputs(*span), expected)
    capped = EventClassifier(dataclasses.replace(CONFIG, max_event_s=1000.0), config, 6.625)
    capped.add(rows)
    assert np.array_equal(capped.inputs(*span), capped.inputs(span[0], span[0] + 1000 * NS_PER_S))


def test_a_gain_changes_nothing(
    quake: SyntheticRecord, rows: Rows, span: tuple[int, int], moon: tuple[Manifest, bytes, Variant]
) -> None:
    plain, loud = classifier_of(moon[0]), classifier_of(moon[0])
    plain.add(rows)
    loud.add(station_rows(moon[0].front_end, 6.625, traces_of(quake, gain=3e-9, offset=1e-6)))
    assert loud.inputs(*span) == pytest.approx(plain.inputs(*span), abs=0.01)


def test_memory_stays_bounded(quake: SyntheticRecord, moon: tuple[Manifest, bytes, Variant]) -> None:
    manifest, graph, variant = moon
    detector = Detector(manifest, graph, variant, manifest.trigger.onset_thresholds["normal"])
    (whole,) = traces_of(quake)
    classes, held, n_events = classifier_of(manifest), [], 0
    rows = iter_rows(manifest, whole)
    for first in range(0, len(whole.samples), 640):
        start_ns = whole.start_ns + round(first / 6.625 * NS_PER_S)
        classes.add(next(rows))
        for event in detector.push(Trace(whole.source_id, start_ns, 6.625, whole.samples[first : first + 640], "")):
            n_events += 1
            assert classes.inputs(event.onset_ns, event.stop_ns) is not None
        classes.forget_before(detector.horizon_ns)
        held.append(len(classes.state()["excess"]))
    trigger = manifest.trigger
    longest_s = trigger.max_event_s + trigger.hold_s + trigger.onset_lag_s + 640 / 6.625
    assert n_events == 1
    assert 12 < max(held) <= longest_s / 9.66 + 2
    assert held[-1] < 40
    classes.forget_before(None)
    assert len(classes.state()["excess"]) == 0


def iter_rows(manifest: Manifest, trace: Trace) -> Iterator[Rows]:
    """Yield the rows that a detector's front end returns for every 640 samples."""
    front_end = StationFrontEnd(manifest.front_end, manifest.sampling_rate_hz)
    for first in range(0, len(trace.samples), 640):
        start_ns = trace.start_ns + round(first / 6.625 * NS_PER_S)
        yield front_end.push(Trace(trace.source_id, start_ns, 6.625, trace.samples[first : first + 640], ""))


def test_octaves_are_the_bands_centres(moon: tuple[Manifest, bytes, Variant]) -> None:
    spectrogram = moon[0].front_end.spectrogram
    assert spectrogram is not None
    edges = np.array(spectrogram.band_edges_hz)
    assert 2 ** band_octaves(moon[0].front_end) == pytest.approx(np.sqrt(edges[1:] * edges[:-1]))


def test_the_manifest_has_the_table(moon: tuple[Manifest, bytes, Variant]) -> None:
    with_classes = dataclasses.replace(moon[0], classes=CONFIG)
    assert parse_manifest(with_classes.to_json(), "there and back").classes == CONFIG
    values = json.loads(with_classes.to_json())
    del values["classes"]
    assert parse_manifest(json.dumps(values), "without").classes is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"names": ["deep_mq"]}, "two classes"),
        ({"names": ["deep_mq", ""]}, "none blank"),
        ({"inputs": ["pitch", "colour"]}, "inputs must be"),
        ({"mean": [0.0]}, "one number for each"),
        ({"scale": [1.0, 0.0]}, "above 0"),
        ({"weights": [[1.0, 1.0]]}, "2 rows of 2"),
        ({"bias": [0.0]}, "bias must hold 2"),
        ({"min_probability": 1.5}, "min_probability"),
        ({"untold": ["quake"]}, "untold must be some of names"),
        ({"untold": ["deep_mq", "impact_mq"]}, "untold must be some of names, not all"),
        ({"smooth_s": 1e4}, "smooth_s"),
        ({"colour": 1}, "unknown field 'colour'"),
    ],
)
def test_a_bad_table_is_refused(
    change: dict[str, object], complaint: str, moon: tuple[Manifest, bytes, Variant]
) -> None:
    values = json.loads(dataclasses.replace(moon[0], classes=CONFIG).to_json())
    values["classes"].update(change)
    with pytest.raises(ManifestError, match=complaint):
        parse_manifest(json.dumps(values), "changed")


def test_a_waveform_has_no_bands(moon: tuple[Manifest, bytes, Variant]) -> None:
    values = json.loads(dataclasses.replace(moon[0], classes=CONFIG).to_json())
    values["front_end"] |= {"kind": "waveform", "waveform": {"clip": 8.0, "steps_per_unit": 16}}
    values["network"]["n_features"] = 2
    with pytest.raises(ManifestError, match="waveform"):
        parse_manifest(json.dumps(values), "waveform")


def test_inputs_are_named_in_their_order() -> None:
    assert INPUTS == ("pitch", "spread", "loudness", "duration")
