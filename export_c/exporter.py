"""`edgequake export-c`: writes a model as C99 source."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from edgequake._version import __version__
from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.detection.c_library import model_hash
from edgequake.edge.manifest.manifest import Manifest, Variant, load_manifest, read_graph
from edgequake.export_c.host_library import BOARD_FLAGS, FLAGS, build_library
from edgequake.export_c.model_header import ModelHeader
from edgequake.export_c.network_check import network_check
from edgequake.export_c.network_reader import read_network
from edgequake.export_c.onset_header import require_refinable
from edgequake.export_c.options import ExportOptions, factors_of, n_rows, require_exportable

VARIANT = "int8"
_SOURCES = Path(__file__).parent / "sources"
# In the order in which each uses those before it.
CORE = (
    "eq_math.c eq_clock.c eq_conditioning.c eq_spectrum.c eq_background.c eq_windows.c eq_network.c eq_onset.c "
    "eq_trigger.c eq_station.c eq_detector.c eq_save.c"
).split()


def _source(name: str) -> str:
    return (_SOURCES / name).read_text(encoding="utf-8")


def export_files(model: str, options: ExportOptions) -> tuple[Manifest, dict[str, str]]:
    """Return a model's manifest, and the texts of the files by their path in the folder.

    Raises
    ------
    EdgequakeError
        The model cannot be read, or is not one that the C sources compute.
    """
    manifest, folder = load_manifest(model)
    variant, graph = read_graph(manifest, folder, VARIANT)
    factors = factors_of(manifest, options)
    require_exportable(manifest, factors)
    if options.refines(manifest):
        require_refinable(manifest, factors)
    network = read_network(manifest, variant, graph)
    header = ModelHeader(manifest, network, options)
    prefix = prefix_of(manifest)
    sizes = header.sizes()
    identity = hashlib.sha256(graph + sizes.encode() + repr(factors).encode()).digest()[:8]
    files = {
        f"{prefix}.h": _public_header(prefix),
        f"{prefix}_sizes.h": sizes,
        f"{prefix}_model.h": header.constants(identity),
        f"{prefix}.c": _translation_unit(prefix),
        f"{prefix}_selftest.c": _with_names(
            prefix,
            f"#define EQ_EXPECTED_CHECK 0x{network_check(manifest, variant, graph, network):08x}u\n",
            "eq_selftest.c",
        ),
        f"{prefix}_replay.c": _with_names(prefix, "", "eq_replay.c"),
    }
    files |= {name: _source(name) for name in ("eq_prefix.h", "eq_unprefix.h", "eq_api.h", "core/eq_tables.h")}
    files |= {f"core/{name}": _source(f"core/{name}") for name in CORE}
    files |= {f"host/{name}": _source(f"host/{name}") for name in ("eq_selftest.c", "eq_replay.c")}
    files[f"{prefix}.json"] = _description(manifest, variant, options, files)
    return manifest, files


def host_files(manifest: Manifest) -> dict[str, str]:
    """Return the texts of the further files that a host library is made from."""
    prefix = prefix_of(manifest)
    variant = manifest.variants[VARIANT]
    model = f'#define EQ_HOST_MODEL "{model_hash(manifest, variant)}"\n'
    unit = f'#include "host/eq_log.h"\n#include "{prefix}.c"\n{model}#include "host/eq_host.c"\n'
    names = (
        "host/eq_host.c",
        "host/eq_log.h",
        "host/eq_avx2_network.c",
        "host/eq_avx2_spectrum.c",
        "host/eq_avx2_samples.c",
    )
    return {f"{prefix}_host.c": unit} | {name: _source(name) for name in names}


def prefix_of(manifest: Manifest) -> str:
    """Return the prefix of a model's names in C."""
    return "eq_" + re.sub(r"\W", "_", manifest.name, flags=re.ASCII)


def _public_header(prefix: str) -> str:
    guard = prefix.upper() + "_H"
    return (
        f"/* The detector of model {prefix[3:]}: {prefix}_init, {prefix}_push_i32, ...; see eq_api.h. */\n"
        f"#ifndef {guard}\n#define {guard}\n"
        f'#define EQ_PREFIX {prefix}\n#include "{prefix}_sizes.h"\n#include "eq_prefix.h"\n#include "eq_api.h"\n'
        f'#include "eq_unprefix.h"\n#endif\n'
    )


def _translation_unit(prefix: str) -> str:
    includes = "".join(f'#include "core/{name}"\n' for name in CORE)
    return (
        f"/* The detector of model {prefix[3:]}: compile this file alone; those in core/ are included. */\n"
        f'#include "{prefix}.h"\n'
        f'#define EQ_PREFIX {prefix}\n#include "{prefix}_sizes.h"\n#include "eq_prefix.h"\n'
        f'#include "core/eq_tables.h"\n#include "{prefix}_model.h"\n'
        f"#ifndef __GNUC__ /* GCC has -ffp-contract=off instead, and warns of a pragma that it does not know */\n"
        f"#pragma STDC FP_CONTRACT OFF\n#endif\n{includes}"
    )


def _with_names(prefix: str, definitions: str, source: str) -> str:
    """Return a file that uses the detector through its header, by the plain names."""
    return (
        f'#include "{prefix}.h"\n#define EQ_PREFIX {prefix}\n#include "eq_prefix.h"\n{definitions}'
        f'#include "host/{source}"\n'
    )


def write_files(files: dict[str, str], out: Path) -> None:
    """Write the files of an export into a folder."""
    for name, text in sorted(files.items()):
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path, text.encode())


@dataclass(frozen=True)
class ExportResult:
    """What `export-c` has written."""

    model: str
    prefix: str  # of the names in C
    folder: str
    files: tuple[str, ...]
    n_bytes: int
    library: str | None
    notes: tuple[str, ...]

    def text(self) -> str:
        """Return the result as lines of text."""
        lines = [f"model {self.model} as C99: {len(self.files)} files in {self.folder}, {self.n_bytes} bytes"]
        lines += [f"compile {self.prefix}.c and {self.prefix}_selftest.c with: {BOARD_FLAGS}"]
        lines += [f"library: {self.library}"] if self.library is not None else []
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def export_model(
    model: str, out: Path, options: ExportOptions | None = None, force: bool = False, build: bool = False
) -> ExportResult:
    """Write a model as C99 source into a folder.

    Parameters
    ----------
    model : a shipped model, or a manifest file.
    force : replace the files of an earlier export.
    build : compile a library for this machine, too.

    Raises
    ------
    EdgequakeError
        The model is not one that the C sources compute, `out` holds such files already, or the compiler failed;
        in the first two cases nothing is written.
    """
    chosen = ExportOptions() if options is None else options
    manifest, files = export_files(model, chosen)
    if build:
        files |= host_files(manifest)
    prefix = prefix_of(manifest)
    if not force and (out / f"{prefix}.c").exists():
        raise ConfigError(f"{out} holds an export of '{manifest.name}' already: give --force to replace it")
    write_files(files, out)
    library = str(build_library(out, prefix)) if build else None
    n_bytes = sum(len(text.encode()) for text in files.values())
    notes = notes_on(manifest, chosen)
    return ExportResult(manifest.name, prefix, str(out), tuple(sorted(files)), n_bytes, library, notes)


def notes_on(manifest: Manifest, options: ExportOptions) -> tuple[str, ...]:
    """Return what of a model C does not compute."""
    notes = []
    if manifest.classes is not None:
        notes.append(f"event classes ({', '.join(manifest.classes.names)}) are not exported: class_index stays -1")
    if manifest.onset is not None and not options.refinement:
        notes.append("onsets are the trigger's: their refinement from the samples is left out")
    return tuple(notes)


def _description(manifest: Manifest, variant: Variant, options: ExportOptions, files: dict[str, str]) -> str:
    """Return the text of eq_NAME.json: what was exported, from what, and how to compile it."""
    values = {
        "format": "edgequake-export-c",
        "format_version": 1,
        "edgequake": __version__,
        "model": manifest.name,
        "body": manifest.body,
        "graph_sha256": variant.sha256,
        "manifest_sha256": hashlib.sha256(manifest.to_json().encode()).hexdigest(),
        "channels": options.channels,
        "rates_hz": [factor * manifest.sampling_rate_hz for factor in factors_of(manifest, options)],
        "rows": n_rows(manifest, options),
        "refined_onsets": options.refines(manifest),
        "reference": "x86-64, TensorFlow Lite's default kernels without delegates",
        "flags": list(FLAGS),
        "not_exported": list(notes_on(manifest, options)),
        "files_sha256": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(files.items())},
    }
    return json.dumps(values, indent=1) + "\n"
