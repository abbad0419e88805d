"""Commands that must be refused in one line."""

from __future__ import annotations

import pytest

from edgequake import cli


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 1) -> str:
    """Run a command that must fail with one line, and return the line."""
    assert cli.main(arguments) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("edgequake: error: ") and said.err.count("\n") == 1, said.err
    return said.err
