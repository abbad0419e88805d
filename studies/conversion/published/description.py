"""The lines that describe a published network to `edgequake convert`."""

from __future__ import annotations

from studies.conversion.published.network import Network


def description(network: Network, settings: tuple[str, ...]) -> list[str]:
    """Return the lines of the TOML file; `settings` are those of its table `network`."""
    if network.kind == "rows":
        lines = ['name = "net"', "[front_end]", 'kind = "rows"']
    else:
        lines = ['name = "net"', 'body = "earth"', f"sampling_rate_hz = {network.rate_hz}", "[front_end]"]
        lines.append('kind = "waveform"')
    if network.kind == "components":
        lines.append('components = ["?HZ", "?HN", "?HE"]')
    return [*lines, *(["[network]", *settings] if settings else [])]
