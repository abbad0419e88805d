"""docs/conversion-survey.md from the measured rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studies.conversion.published.file_parts import FileParts

RUNTIMES = ("tflite-runtime", "ai-edge-litert")
FLOAT_LIMIT, INT8_LIMIT = 1e-6, 0.01
FILES = {"keras": ".keras", "h5": ".h5", "keras 2 h5": ".h5 of Keras 2"}
HEAD = """# Networks that people have published

{n} networks of other authors, retyped from what was published, and what `edgequake convert` makes of each with its
default settings. `make survey` runs `studies/conversion/survey.py`, which writes this page; the networks are in
`studies/conversion/published`. {n_converted} are converted, {n_refused} refused{n_ways}.

Each network is built with today's Keras or with Keras 2 (tf-keras), trained for a few steps on bursts in noise (the
brief's on quakes: 520 steps), and saved as its authors' version of Keras saves it.
A description of *lines* lines is all that is added to the file. Every
conversion runs in a process of its own, which is forked from one that has loaded TensorFlow; the graphs run in both
runtimes ({runtimes}), on rows that were not calibrated on, against what Keras computed when the file was saved.

- *float32*: largest difference from Keras, relative to the largest output.
- *int8 rms*: root-mean-square error in tflite-runtime and in ai-edge-litert, of the largest output where that is above
  1; "-" where the variant was left out, with the reason below. *std* is the standard deviation of Keras' own outputs.
- *lag*: rows by which a stream's outputs are late. *bytes*: of the int8 file, or of float32 where there is no int8.

{versions}

| network | published | of | file | lines | parameters | mode | rows a step | lag | float32 | int8 rms | std | bytes |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""
REFUSED = """
## Refused

What stands in a network's way is named, and the advice is followed: the network is changed as the message says, and
converted again (MagNet twice: its second pool is refused next).

| network | the message | after the advice: float32 | int8 rms | bytes |
|---|---|---|---|---|
"""
LEFT_OUT = """
## Variants that are left out

| network | variant | reason |
|---|---|---|
"""
SIZES = """
## Bytes beyond the parameters

The int8 file of {n_within} of {n} networks takes at most {limit} bytes more than one for each parameter. These take
more. Most of it the format demands, and the more the wider the layers are: a bias takes four bytes, the scale of each
output channel four, and for each different width there is a vector of zero points, eight bytes a channel, all of them 0
(without them, or with one for all channels, neither runtime loads the file). *constants* are masks and kernels that are
made of others, less biases and normalisations that were folded away.

| network | parameters | beyond | biases | scales | zero points | constants | structure |
|---|---|---|---|---|---|---|---|
"""
SIZE_LIMIT_BYTES = 8192
MISSED = """
## Limits that are missed

{float_limit:g} for float32, {int8_limit:g} for int8.

| network | | cause |
|---|---|---|
"""


def line(row: dict[str, Any]) -> str:
    """Return a network's row of the table."""
    found = _measured(row) if row["converted"] else ("refused, see below", "", "", "", "", "", "")
    cells = (row["name"], row["source"], row["field"], FILES[row["saved"]], row["lines"], row["parameters"], *found)
    return "| " + " | ".join(map(str, cells)) + " |"


def page(
    rows: Sequence[dict[str, Any]],
    versions: str,
    remarks: Mapping[str, str] | None = None,
    parts: Mapping[str, FileParts] | None = None,
) -> str:
    """Return the text of the page; `remarks` say, by network, why a limit is missed; `parts` are of int8 files."""
    refused = [row for row in rows if not row["converted"]]
    with_way = [row for row in refused if row.get("way", {}).get("converted")]
    text = HEAD.format(
        n=len(rows),
        n_converted=len(rows) - len(refused),
        n_refused=len(refused),
        n_ways=f", of which {len(with_way)} after the advice" if refused else "",
        runtimes=", ".join(RUNTIMES),
        versions=versions,
    )
    text += "\n".join(map(line, rows)) + "\n"
    if refused:
        text += REFUSED + "".join(_refusal(row) for row in refused)
    missed = [(row["name"], ", ".join(found)) for row in rows if (found := faults(row))]
    if missed:
        text += MISSED.format(float_limit=FLOAT_LIMIT, int8_limit=INT8_LIMIT)
        text += "".join(f"| {name} | {found} | {(remarks or {}).get(name, '')} |\n" for name, found in missed)
    if parts:
        text += _sizes(rows, parts)
    reasons = [(row["name"], item) for row in rows for item in row.get("left_out", {}).items()]
    if reasons:
        text += LEFT_OUT + "".join(f"| {name} | {variant} | {reason} |\n" for name, (variant, reason) in reasons)
    return text


def _sizes(rows: Sequence[dict[str, Any]], parts: Mapping[str, FileParts]) -> str:
    sizes = [(row, vars(parts[row["name"]])) for row in rows if row["name"] in parts]
    beyond = [(row, found) for row, found in sizes if sum(found.values()) > SIZE_LIMIT_BYTES]
    text = SIZES.format(n_within=len(sizes) - len(beyond), n=len(sizes), limit=SIZE_LIMIT_BYTES)
    for row, found in beyond:
        cells = (row["name"], row["parameters"], sum(found.values()), *found.values())
        text += "| " + " | ".join(map(str, cells)) + " |\n"
    return text


def _measured(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["mode"],
        str(row["rows_per_step"]),
        str(row["lag_rows"]),
        *_errors(row),
        f"{row[RUNTIMES[0]]['float32']['deviation']:.3f}",
        str(row["bytes"]),
    )


def _errors(row: dict[str, Any]) -> tuple[str, str]:
    rms = [row[runtime]["int8"]["rms"] for runtime in RUNTIMES if "int8" in row.get(runtime, {})]
    shown = f"{rms[0]:.4f}" if len(set(rms)) == 1 else ", ".join(f"{value:.4f}" for value in rms)
    return f"{largest_relative(row):.1e}", shown or "-"


def largest_relative(row: dict[str, Any]) -> float:
    """Return the largest relative error of the float32 graph in any runtime."""
    return max(float(row[runtime]["float32"]["relative"]) for runtime in RUNTIMES if runtime in row)


def _refusal(row: dict[str, Any]) -> str:
    message = row["refusal"].removeprefix("edgequake: error: ").replace("|", "\\|")
    way = row.get("way")
    if not way:
        return f"| {row['name']} | {message} | - | - | - |\n"
    if not way["converted"]:
        return f"| {row['name']} | {message} | refused too: {way['refusal']} | - | - |\n"
    float32, rms = _errors(way)
    return f"| {row['name']} | {message} | {float32} | {rms} | {way['bytes']} |\n"


def faults(row: dict[str, Any]) -> list[str]:
    """Return what a network's row should not show."""
    found = ["a traceback"] if row.get("traceback") or row.get("way", {}).get("traceback") else []
    if not row["converted"]:
        way = row.get("way")
        return [*found, *(["no way out"] if not way or not way["converted"] else faults(way))]
    if not largest_relative(row) <= FLOAT_LIMIT:
        found.append(f"float32 differs by {largest_relative(row):.1e}")
    for runtime in RUNTIMES:
        errors = row.get(runtime, {}).get("int8")
        if errors is not None and not errors["rms"] <= INT8_LIMIT:
            found.append(f"int8 rms {errors['rms']:.4f} in {runtime}")
    return found
