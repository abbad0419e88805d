"""Faults that nobody has foreseen: what caused one is dropped, kept for inspection and counted, and the run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from edgequake.edge.base.atomic_files import may_pass, write_bytes_atomically
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import EdgequakeError
from edgequake.edge.base.layout import SET_ASIDE
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.inputs.source import Batch, Source

MOST_FILES, MOST_FILE_BYTES = 10, 1_000_000  # of input that is set aside: enough to find the fault on the ground
_MOST_IN_A_ROW = 10  # faults of the source with no batch in between: then nothing can be read from it
_MOST_SAID = 100  # different faults; further ones are only counted


class Incidents:
    """Says, counts and keeps what has failed, so that nothing but a fault of the whole run ends a live run."""

    def __init__(self, out: Path, is_live: bool, diagnostics: Diagnostics, log: Callable[[str], None]) -> None:
        """Keep in DIR/set-aside what cannot be processed; a run over files ends at the first incident instead."""
        self._folder, self._is_live = out / SET_ASIDE, is_live
        self._diagnostics, self._log = diagnostics, log
        self._said: set[str] = set()

    def batches(self, source: Source) -> Iterator[Batch | None]:
        """Yield the batches of a source, which begins again where it was when it fails.

        Raises
        ------
        Exception
            As the source, in a run over files, or when it fails again and again without yielding anything.
        """
        n_in_a_row = 0
        while True:
            try:
                for batch in source.batches():
                    n_in_a_row = 0 if batch is not None else n_in_a_row
                    yield batch
                return
            except Exception as problem:
                n_in_a_row += 1
                if n_in_a_row > _MOST_IN_A_ROW or not self.may_go_on(problem):
                    raise
                self.note("input", problem)

    def flush(self, source: Source) -> Iterator[Batch]:
        """Yield what a source holds at the end; where it fails, the rest is left out.

        Raises
        ------
        Exception
            As the source, in a run over files.
        """
        try:
            yield from source.flush()
        except Exception as problem:
            if not self.may_go_on(problem):
                raise
            self.note("the end of the input", problem)

    def may_go_on(self, problem: Exception) -> bool:
        """Whether the run can do without what has failed: not where the error says that it is unusable for good."""
        return self._is_live and (not isinstance(problem, EdgequakeError) or may_pass(problem))

    def note(self, what: str, problem: Exception, batch: Batch | None = None) -> None:
        """Count a fault, say it once, and keep the input that has caused it; `what`: what has been left out."""
        message = " ".join(str(problem).split())[:200]
        text = f"{what} left out: {type(problem).__name__}: {message}"
        self._diagnostics.count(text)
        if text not in self._said and len(self._said) < _MOST_SAID:
            self._said.add(text)
            self._log(f"{text}; the run goes on")
            if batch is not None:
                self._keep(batch)

    def _keep(self, batch: Batch) -> None:
        """Keep the traces of a batch as miniSEED. Whatever fails here fails silently: it is beside the point."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            names = (self._folder / f"{i:03d}.mseed" for i in range(1, MOST_FILES + 1))
            path = next((path for path in names if not path.exists()), None)
            data = encode(batch.traces)
            if path is not None and len(data) <= MOST_FILE_BYTES:
                write_bytes_atomically(path, data)
        except Exception as problem:
            self._diagnostics.count(f"batch(es) could not be set aside: {type(problem).__name__}")
