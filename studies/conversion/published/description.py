"""The lines that describe a published network to `edgequake convert`."""

from __future__ import annotations

from studies.conversion.published.network import Network


def description(network: Network, settings: tuple[str, ...], n_features: int) -> list[str]:
    """Return the lines of the TOML file.

    Parameters
    ----------
    settings : of the table `network`.
    n_features : numbers in a row.
    """
    lines = ['name = "net"', 'body = "earth"', f"sampling_rate_hz = {network.rate_hz}", "[front_end]"]
    if network.kind == "waveform":
        lines.append('kind = "waveform"')
    elif network.kind == "components":
        lines += ['kind = "waveform"', 'components = ["?HZ", "?HN", "?HE"]']
    else:
        lines += ['kind = "rows"', f"n_features = {n_features}"]
        lines.remove('body = "earth"')
    return [*lines, *(["[network]", *settings] if settings else [])]
