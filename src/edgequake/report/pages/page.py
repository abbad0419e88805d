"""Pages from the templates: everything is embedded in the page, and the browser is forbidden to fetch anything."""

from __future__ import annotations

from typing import Any

from edgequake._version import __version__
from edgequake.edge.base.inert_text import lines


def render(template: str, **values: Any) -> str:
    """Return a template filled in; all values are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("edgequake.report", "templates"),
        autoescape=True,
        finalize=_inert,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(version=__version__, **values)


def _inert(value: Any) -> Any:
    """Return a value without control characters; markup is made by the templates alone and stays as it is."""
    return lines(value) if type(value) is str else value
