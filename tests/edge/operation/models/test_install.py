"""The `install` command: what it checks, what it offers, and signatures by ssh-keygen and openssl."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgequake.benchmarks.robustness.graph_mutations import KINDS, mutated
from edgequake.benchmarks.robustness.hostile_graphs import offer_graphs
from edgequake.edge.__main__ import main
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import ConfigError, ManifestError, ModelError
from edgequake.edge.detection import self_test
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.manifest.manifest import (
    SHIPPED_GRAPHS,
    load_manifest,
    parse_manifest,
    read_graph,
    shipped_models,
)
from edgequake.edge.manifest.signature import require_signature
from edgequake.edge.operation.install import stage
from edgequake.edge.operation.model_check import read_candidate
from edgequake.edge.operation.model_store import ModelStore
from edgequake.edge.runner import RunConfig, run

from .other_models import ROWS, moon_model, other_graph, write_model

Sign = Callable[[Path], Path]  # signs a manifest, returns the public key


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Return the manifest of another lunar model."""
    manifest, _, graph = moon_model()
    return write_model(tmp_path / "other", manifest, other_graph(graph), name="moon2")


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must be refused, and return its line."""
    assert main([str(argument) for argument in arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


# --- the self-test ---------------------------------------------------------------------------------------------------


_BREAK_OUT = """
import os, socket, sys
from edgequake.edge.detection import self_test
def attack(*arguments, **named):
    for name, door in (
        ("file", lambda: open(sys.argv[0])),
        ("socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
        ("pipe", os.pipe),
    ):
        try:
            door()
        except OSError as problem:
            print(name, problem.strerror, file=sys.stderr)
        else:
            print(name, "opened", file=sys.stderr)
if sys.argv[6:]:
    self_test._close_doors = lambda: None
self_test.self_test = attack
sys.exit(self_test.main(sys.argv[1:6]))
"""


@pytest.mark.parametrize("is_open", [False, True])
def test_what_takes_over_the_process_of_the_self_test_can_open_nothing(is_open: bool, tmp_path: Path) -> None:
    """Neither a file nor a socket; with the doors open it could, so that the attack is one."""
    script, manifest = tmp_path / "break_out.py", shipped_models()["moon"]
    script.write_text(_BREAK_OUT)
    arguments = [str(script), str(manifest), "int8", str(1 << 28), "60", "required", *(["open"] if is_open else [])]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    outcome = "opened" if is_open else "Too many open files"
    assert done.stderr.splitlines() == [f"{name} {outcome}" for name in ("file", "socket", "pipe")]
    assert done.returncode == 0


def test_the_table_of_shipped_graphs_is_that_of_the_folder() -> None:
    """After another model has been shipped: put its graph's SHA-256 into `SHIPPED_GRAPHS`."""
    found = {one.sha256 for name in shipped_models() for one in load_manifest(name)[0].variants.values()}
    assert found == SHIPPED_GRAPHS


@pytest.mark.parametrize("name", ["moon", "mars", "earth"])
def test_shipped_models_pass_and_other_weights_do_not(name: str) -> None:
    """The expected numbers are recomputed step by step from the file's rows; then one step of one weight differs."""
    manifest, folder = load_manifest(name)
    variant, graph = read_graph(manifest, folder)
    golden = self_test.read_golden(manifest, folder, variant)
    fields = json.loads(golden)
    network = StepNetwork(manifest, graph, variant)
    assert len(fields["rows"]) == 64
    outputs = [network.step(np.array([row], np.float32)).tolist() for row in fields["rows"]]
    assert outputs == fields["outputs"]
    assert np.ptp(np.array(outputs)[:, 0]) > 0.1  # the rows move the network
    self_test.self_test(manifest, variant, graph, golden)
    with pytest.raises(ModelError, match="does not compute what it computed"):
        self_test.self_test(manifest, variant, other_graph(graph, 1), golden)


def test_operators_are_those_that_the_converter_makes_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, variant, graph = moon_model()
    assert not self_test.OPERATORS & {"IF", "WHILE", "CALL_ONCE", "CUSTOM", "READ_VARIABLE", "FlexAdd"}
    monkeypatch.setattr(self_test, "OPERATORS", self_test.OPERATORS - {"TANH", "SPLIT"})
    with pytest.raises(ModelError, match="does not allow: SPLIT, TANH"):
        self_test.self_test(manifest, variant, graph, None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": [[0.0] * 9]}, "outputs of shape"),
        ({"rows": "none"}, "not in the form"),
        ({"format": "other"}, "not in the form"),
        ({"states": [[0.0]]}, "another number of states"),
    ],
)
def test_a_golden_vector_in_another_form_is_refused(change: dict[str, object], words: str) -> None:
    manifest, variant, graph = moon_model()
    fields = json.loads(self_test.golden_vector(manifest, variant, graph, ROWS))
    with pytest.raises(ManifestError, match=words):
        self_test.self_test(manifest, variant, graph, json.dumps({**fields, **change}).encode())


# --- the command -----------------------------------------------------------------------------------------------------


def test_what_is_offered_is_complete_and_runs(
    other: Path, quake_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model's folder may vanish after the install; the run has what it needs."""
    out = tmp_path / "run"
    assert main(["install", str(other), "--out", str(out)]) == 0
    assert f"is offered to the first run in {out}: none is there yet" in capsys.readouterr().err
    shutil.rmtree(other.parent)
    summary = run(RunConfig((str(quake_file),), out, model="moon"))
    assert summary.model == "moon2" and summary.n_events == 1
    assert sorted(path.name for path in (out / "models").iterdir() if path.is_file()) == ["active.json", "outcome.json"]
    assert main(["install", "moon", "--out", str(out)]) == 0
    assert f"is offered to the run in {out}, or to the next" in capsys.readouterr().err


def test_waiting_tells_what_the_run_has_done(
    other: Path, quake_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody runs: not switched. An outcome of this very offer: switched, or refused with the reason."""
    out = tmp_path / "run"
    command = ["install", str(other), "--out", str(out), "--wait", "0"]
    assert main(command) == 1
    assert "the run has not switched to model moon2" in capsys.readouterr().err
    assert run(RunConfig((str(quake_file),), out, model="moon")).model == "moon2"
    assert main(command) == 0 and "the run has switched" in capsys.readouterr().err
    offer = ModelStore(out).offer()
    ModelStore(out).write_outcome(offer, "refused", "it rattles")
    assert main(command) == 1 and "was refused: it rattles" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "moon.int8.tflite").write_bytes(b"TFL3"), "is damaged or another file"),
        (lambda folder: (folder / "moon.int8.golden.json").unlink(), "golden vector"),
        (lambda folder: (folder / "moon.int8.golden.json").write_text("{}"), "golden vector"),
        (lambda folder: (folder / "moon2.json").write_text("{"), "is not JSON"),
        (lambda folder: (folder / "moon2.json").write_text("[" * 100_000), "moon2.json"),
    ],
)
def test_damaged_files_are_refused_and_nothing_is_offered(
    spoil: Callable[[Path], object], words: str, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(other.parent)
    assert words in refusal(capsys, "install", other, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_manifest_may_not_name_files_elsewhere(
    other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = other.read_text().replace('"file": "moon.int8.tflite"', '"file": "../other/moon.int8.tflite"')
    other.write_text(text)
    assert "expected one beside the manifest" in refusal(capsys, "install", other, "--out", tmp_path / "run")


def test_a_model_without_a_golden_vector_runs_but_is_not_installed(
    other: Path, quake_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Models of earlier releases have none."""
    manifest = parse_manifest(other.read_text(), "other")
    (variant,) = manifest.variants.values()
    old = dataclasses.replace(manifest, variants={"int8": dataclasses.replace(variant, golden=None)})
    other.write_text(old.to_json())
    assert "has no golden vector" in refusal(capsys, "install", other, "--out", tmp_path / "run")
    assert run(RunConfig((str(quake_file),), tmp_path / "named", model=str(other))).n_events == 1


def test_a_model_for_another_body_is_refused_by_the_run(quake_file: Path, tmp_path: Path) -> None:
    """Named, the run has a model for one body; where models are chosen, only that body's stations change."""
    out, log = tmp_path / "run", []
    stage(out, read_candidate("earth"))
    summary = run(RunConfig((str(quake_file),), out, model="moon"), None, Control(log=log.append))
    assert summary.model == "moon" and "is for 'earth', and this run's model 'moon' for 'moon'" in log[0]
    stage(tmp_path / "auto", read_candidate("earth"), threshold=0.5)
    assert run(RunConfig((str(quake_file),), tmp_path / "auto")).onset_threshold == 0.5  # the Moon's own
    assert ModelStore(tmp_path / "auto").slots()["earth"].current is not None


def test_rubbish_for_an_offer_is_refused(quake_file: Path, tmp_path: Path) -> None:
    """Whoever can write to the folder cannot end the run, nor have it read files elsewhere."""
    good = {"manifest": "moon.json", "name": "a", "body": "moon", "sha256": "0", "variant": "int8"}
    elsewhere = [{**good, "folder": name} for name in ("../../etc", "0" * 16, 7)]
    elsewhere.append({**good, "folder": None, "manifest": "/etc/passwd"})
    rubbish = [b"", b"{", b"[]", b"\xff" * 100, b"[" * 10_000, b"x" * (2 << 20)]
    for i, data in enumerate([*rubbish, *(json.dumps(fields).encode() for fields in elsewhere)]):
        out, log = tmp_path / str(i), []
        (out / "models").mkdir(parents=True)
        (out / "models" / "offer.json").write_bytes(data)
        summary = run(RunConfig((str(quake_file),), out), None, Control(log=log.append))
        assert summary.n_events == 1 and "is refused: " in log[0] and not (out / "models" / "offer.json").exists()


# --- hostile graphs --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_mutated_graphs_do_no_harm(quake_file: Path, tmp_path: Path) -> None:
    """A few of the 200 of `edgequake bench faults --graphs 200`."""
    result = offer_graphs(quake_file, tmp_path, 5, 64)
    assert result.failures == () and result.n_refused >= 3
    assert all("\n" not in reason for reason in result.reasons)


@pytest.mark.slow
def test_a_running_run_refuses_one_graph_after_the_other(quake_file: Path, tmp_path: Path) -> None:
    """Offered with each batch of the run, past the check of install."""
    manifest, variant, graph = moon_model()
    golden = self_test.golden_vector(manifest, variant, graph, ROWS)
    changed = [mutated(graph, kind, np.random.default_rng(5)) for kind in KINDS if kind != "rubbish"]
    left = [
        read_candidate(write_model(tmp_path / str(i), manifest, one, golden, f"bad{i}"))
        for i, one in enumerate(changed)
        if one != graph
    ]
    n_offered, out, log = 0, tmp_path / "run", []

    def show(share: float) -> None:
        nonlocal n_offered
        if left:
            stage(out, left.pop())
            n_offered += 1

    summary = run(RunConfig((str(quake_file),), out), show, Control(log=log.append))
    assert n_offered >= 5 and summary.n_events == 1 and summary.model == "moon"
    n_refused = sum("is refused: " in line for line in log)
    n_harmless = sum("has passed its self-test" in line for line in log)  # chance has hit what is not used
    assert n_refused >= 4 and n_refused + n_harmless == n_offered


# --- signatures ------------------------------------------------------------------------------------------------------


def _openssl(folder: Path, *algorithm: str) -> Sign:
    private, public = folder / "private.pem", folder / "public.pem"
    subprocess.run(["openssl", "genpkey", *algorithm, "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)

    def sign(manifest: Path) -> Path:
        raw = ["openssl", "pkeyutl", "-sign", "-inkey", private, "-rawin", "-in", manifest, "-out", f"{manifest}.sig"]
        digest = ["openssl", "dgst", "-sha256", "-sign", private, "-out", f"{manifest}.sig", manifest]
        subprocess.run(raw if "ed25519" in algorithm else digest, check=True, capture_output=True)
        return public

    return sign


def _ssh(folder: Path) -> Sign:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ops@ground", "-f", folder / "key"], check=True
    )

    def sign(manifest: Path) -> Path:
        command = ["ssh-keygen", "-Y", "sign", "-f", folder / "key", "-n", "edgequake", manifest]
        manifest.with_name(manifest.name + ".sig").unlink(missing_ok=True)
        subprocess.run(command, check=True, capture_output=True)
        return folder / "key.pub"

    return sign


@pytest.fixture(params=["ssh", "ed25519", "rsa", "ec"])
def sign(request: pytest.FixtureRequest, tmp_path: Path) -> Sign:
    """Return a function that signs a manifest as docs/installing-models.md says."""
    program = "ssh-keygen" if request.param == "ssh" else "openssl"
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    folder = tmp_path / "keys"
    folder.mkdir()
    if request.param == "ssh":
        return _ssh(folder)
    options = {
        "ed25519": ("-algorithm", "ed25519"),
        "rsa": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
        "ec": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    }
    return _openssl(folder, *options[request.param])


def test_a_signature_is_of_these_bytes_by_this_key(sign: Sign, other: Path, tmp_path: Path) -> None:
    key, data = sign(other), other.read_bytes()
    require_signature(data, other, key)
    with pytest.raises(ManifestError, match="is not its signature by"):
        require_signature(data.replace(b"0.5", b"0.1", 1), other, key)
    signature = other.with_name(other.name + ".sig")
    for spoilt in (b"", b"rubbish", signature.read_bytes()[:-20]):
        signature.write_bytes(spoilt)
        with pytest.raises(ManifestError, match="is not its signature by"):
            require_signature(data, other, key)
    signature.unlink()
    with pytest.raises(ManifestError, match="is not signed"):
        require_signature(data, other, key)


def test_another_key_and_another_purpose_are_refused(other: Path, tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    for name in "ab":
        (tmp_path / name).mkdir()
    sign_a, sign_b = _ssh(tmp_path / "a"), _ssh(tmp_path / "b")
    key_a, _ = sign_a(other), sign_b(other)
    with pytest.raises(ManifestError, match="is not its signature"):
        require_signature(other.read_bytes(), other, key_a)
    both = tmp_path / "both.pub"
    both.write_text("# two may sign\n" + key_a.read_text() + (tmp_path / "b" / "key.pub").read_text())
    require_signature(other.read_bytes(), other, both)
    other.with_name(other.name + ".sig").unlink()
    command = ["ssh-keygen", "-Y", "sign", "-f", tmp_path / "a" / "key", "-n", "file", other]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(ManifestError, match="is not its signature"):
        require_signature(other.read_bytes(), other, key_a)


@pytest.mark.parametrize("as_option", [True, False])
def test_with_a_key_only_signed_models_run(
    as_option: bool, sign: Sign, other: Path, quake_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`install`, the offer past it, and the first load of a run; shipped models need no signature."""
    out, option = tmp_path / "run", []
    key = sign(other)
    signature = other.with_name(other.name + ".sig")
    kept = signature.read_bytes()
    signature.unlink()
    if as_option:
        option = ["--public-key", str(key)]
    else:
        out.mkdir()
        shutil.copy(key, out / "model-key.pub")
    assert "is not signed" in refusal(capsys, "install", other, "--out", out, *option)
    config = RunConfig((str(quake_file),), out, public_key=key if as_option else None, force=True)
    log: list[str] = []
    stage(out, read_candidate(other))
    assert run(config, None, Control(log=log.append)).model == "moon" and "is not signed" in log[0]
    named = dataclasses.replace(config, model=str(other))
    with pytest.raises(ManifestError, match="is not signed"):
        run(named)
    signature.write_bytes(kept)
    assert run(named).model == "moon2"
    assert main(["install", str(other), "--out", str(out), *option]) == 0
    assert run(config).model == "moon2"
    (installed,) = (out / "models").glob("*/*.sig")
    installed.write_bytes(b"another")
    assert run(config, None, Control(log=log.append)).model == "moon" and "is not its signature" in log[-2]


def test_where_no_program_can_check_the_model_is_refused(
    other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.with_name(other.name + ".sig").write_bytes(b"signature")
    monkeypatch.setenv("PATH", str(tmp_path))
    for text, program in (("ssh-ed25519 AAAA me\n", "ssh-keygen"), ("-----BEGIN PUBLIC KEY-----\n", "openssl")):
        (tmp_path / "key").write_text(text)
        with pytest.raises(ConfigError, match=f"{program} is not installed"):
            require_signature(other.read_bytes(), other, tmp_path / "key")
    (tmp_path / "key").write_text("my key")
    with pytest.raises(ConfigError, match="of no known kind"):
        require_signature(other.read_bytes(), other, tmp_path / "key")
    with pytest.raises(ConfigError, match="cannot be read"):
        require_signature(other.read_bytes(), other, tmp_path / "none")
