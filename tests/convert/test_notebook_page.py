"""docs/notebook-to-device.md: its blocks run as they stand, one after the other."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from edgequake.cli import main
from edgequake.convert import converter
from edgequake.convert.foreign_model import read_description
from edgequake.synthetic import synthetic_dataset


def blocks(page: str) -> list[tuple[str, str]]:
    """Return (language, text) of each block: indented lines are commands, ``py`` blocks are not to be run."""
    found = re.findall(r"```(\w+)\n(.*?)```|((?:^    edgequake [^\n]*\n)+)", page, flags=re.DOTALL | re.MULTILINE)
    return [("sh", commands) if commands else (language, text) for language, text, commands in found]


@pytest.mark.slow
def test_the_blocks_run_as_pasted(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    worker_here: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (root / "docs" / "notebook-to-device.md").read_text(encoding="utf-8").split("## Windows of three")[0]
    monkeypatch.chdir(tmp_path)
    # The page's records, fewer and shorter, and two graphs in place of four: neither is the page's subject.
    write, record = synthetic_dataset.write_dataset, synthetic_dataset.synthetic_record
    monkeypatch.setattr(synthetic_dataset, "write_dataset", lambda out, seed: write(out, seed, 2, 1, 1))
    monkeypatch.setattr(
        synthetic_dataset,
        "synthetic_record",
        lambda rng, duration_s, onsets_s, **given: record(rng, duration_s / 3, tuple(t / 3 for t in onsets_s), **given),
    )
    monkeypatch.setitem(converter.QUANTIZE, "all", ("float32", "int8"))
    namespace: dict[str, object] = {}
    for language, text in blocks(page):
        if language == "toml":
            (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
        elif language == "python":
            exec(compile(text, "docs/notebook-to-device.md", "exec"), namespace)
        elif language == "sh":
            for line in text.splitlines():
                assert main(shlex.split(line, comments=True)[1:]) == 0, line
    assert "mine int8" in capsys.readouterr().out
    report = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert (tmp_path / "kept" / "report.html").stat().st_size > 10_000
    assert (tmp_path / "kept" / "catalog.csv").read_text(encoding="utf-8").count("\n") >= 3
    manifest = json.loads((tmp_path / "tuned" / "mine.json").read_text(encoding="utf-8"))
    assert manifest["default_variant"] == "int8" and manifest["network"]["n_features"] == 6
    assert report["split"] == "test" and report["results"][0]["summary"]["scores"][0]["n_arrivals"] >= 1
    assert (tmp_path / "bench.html").stat().st_size > 10_000


def test_every_description_of_the_page_is_complete(root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "notebook-to-device.md").read_text(encoding="utf-8")
    described = []
    for language, text in blocks(page):
        if language == "toml":
            (tmp_path / "x.toml").write_text(text, encoding="utf-8")
            described.append(read_description(tmp_path / "x.toml", {}, (None, 3000, 3)))
    assert [one["front_end"]["kind"] for one in described] == ["spectrogram", "waveform", "waveform", "mel", "rows"]
    assert described[1]["channels"] == ["?HZ", "?H[N1]", "?H[E2]"]
    assert described[4]["front_end"]["rows"] == {"n_features": 3}
