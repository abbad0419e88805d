"""The short form of `make survey`: three published networks, converted and measured as the study does it."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="module")
def study(root: Path) -> Any:
    """Return studies/conversion/survey.py, which is run from the root."""
    sys.path.insert(0, str(root))
    try:
        return importlib.import_module("studies.conversion.survey")
    finally:
        sys.path.remove(str(root))


class Here:
    """Converts within this process."""

    def convert(self, arguments: list[str], folder: Path) -> tuple[int, str, str]:
        from edgequake.cli import main

        printed, complaint = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complaint):
            code = main(["convert", *arguments, "--quantize", "float32"])
        text = printed.getvalue()  # TensorFlow prints there, too, when it is not in a process of its own
        return code, text[text.find("\n{\n") :] if "\n{\n" in text else text, complaint.getvalue()


@pytest.fixture
def survey(study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function from a network's name to its row; weights stay random."""
    monkeypatch.setattr(study.prepared, "train", lambda *given: None)
    monkeypatch.setattr(study.prepared, "CALIBRATION_ROWS", 900)
    monkeypatch.setattr(study.prepared, "COMPARED_ROWS", 900)
    return lambda name: study.survey(name, tmp_path, {"tflite-runtime": sys.executable}, Here())


@pytest.mark.slow
@pytest.mark.usefixtures("worker_here")
@pytest.mark.parametrize("name", ["motor"])
def test_a_published_network_is_converted(survey: Any, study: Any, name: str) -> None:
    row = survey(name)
    assert row["converted"], row.get("refusal")
    assert study.survey_page.faults(row) == []
    assert row["tflite-runtime"]["float32"]["deviation"] > 1e-4
    assert f"| {name} | {study.NETWORKS[name].source} |" in study.survey_page.page([row], "")


@pytest.mark.slow
@pytest.mark.usefixtures("worker_here")
def test_a_refused_network_is_converted_after_the_advice(survey: Any, study: Any) -> None:
    row = survey("ConvLSTM")
    assert not row["converted"] and "ConvLSTM1D" in row["refusal"] and not row["traceback"]
    assert row["way"]["converted"] and study.survey_page.faults(row) == []
    assert "1 refused, of which 1 after the advice" in study.survey_page.page([row], "").replace("\n", " ")


def test_the_survey_is_large_and_names_every_source(study: Any) -> None:
    networks = study.NETWORKS.values()
    assert len(study.NETWORKS) >= 45 and len({network.field for network in networks}) >= 8
    assert sum(network.saved == "keras 2 h5" for network in networks) >= 8
    assert all(network.source for network in networks)


def test_what_misses_a_limit_is_a_fault(study: Any) -> None:
    errors = {"float32": {"relative": 2e-6}, "int8": {"rms": 0.02}}
    row = {"converted": True, "tflite-runtime": errors}
    assert study.survey_page.faults(row) == ["float32 differs by 2.0e-06", "int8 rms 0.0200 in tflite-runtime"]
    assert study.survey_page.faults({"converted": False, "traceback": True}) == ["a traceback", "no way out"]
    measured = study.errors(np.full((1, 2, 1), 2.0), np.full((1, 3, 1), 4.0))
    assert (measured["relative"], measured["rms"], measured["n_steps"]) == (0.5, 0.5, 2)
