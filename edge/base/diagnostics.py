"""Warnings of a run: what had to be left out of the input, and why; bounded, however bad the input is."""

from __future__ import annotations

from dataclasses import dataclass

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.inert_text import one_line

_MOST = 100  # texts, counted texts, and sources with damage; further ones are only counted


_DAMAGE = {  # of one source, by kind and in the order in which it is reported
    "junk": "{size_bytes} bytes{places} belong to no readable record: {first}",
    "skipped": "{n} damaged record(s) left out; the first: {first}",
    "suspect": "{n} record(s) fail their own check of the samples, used as they are",
    "dropped": "{n} datagram(s) dropped; the first: {first}",
}


@dataclass
class _Damage:
    n: int = 0
    size_bytes: int = 0
    first: str = ""  # the problem with the first one


class Diagnostics:
    """Collects warnings; repeated ones are counted."""

    def __init__(self) -> None:
        self.unreadable_bytes = 0
        self._texts: list[str] = []
        self._counts: dict[str, int] = {}  # by text, of repeated warnings
        self._n_more = 0
        self._damage: dict[str, dict[str, _Damage]] = {}  # by source and kind

    def warn(self, text: str) -> None:
        """Record a warning; a second one with the same text is dropped."""
        if text in self._texts:
            return
        if len(self._texts) < _MOST:
            self._texts.append(text)
        else:
            self._n_more += 1

    def count(self, text: str, n: int = 1) -> None:
        """Record a warning that begins with a number, and add `n` to that number."""
        if text in self._counts or len(self._counts) < _MOST:
            self._counts[text] = self._counts.get(text, 0) + n
        else:
            self._n_more += n

    def skip_record(self, source: str, problem: str, size_bytes: int) -> None:
        """Record that a damaged record is left out."""
        self._add("skipped", source, problem, size_bytes)

    def suspect_record(self, source: str) -> None:
        """Record that a record is used although its samples differ from its own check value."""
        self._add("suspect", source)

    def junk(self, source: str, problem: str, size_bytes: int, n_places: int = 1) -> None:
        """Record bytes that belong to no record."""
        self._add("junk", source, problem, size_bytes, n_places)

    def first_problem(self, source: str) -> str | None:
        """Return the problem with the first bytes of a source that belong to no record, or the first damaged record."""
        damage = self._damage.get(source, {})
        return next((damage[kind].first for kind in ("junk", "skipped") if kind in damage), None)

    @property
    def has_junk(self) -> bool:
        """Whether there were bytes that belong to no record."""
        return any("junk" in kinds for kinds in self._damage.values())

    def add(self, other: Diagnostics) -> None:
        """Add the warnings of another object, such as those of one file."""
        for text in other._texts:
            self.warn(text)
        for text, n in other._counts.items():
            self.count(text, n)
        for source, kinds in other._damage.items():
            for kind, damage in kinds.items():
                self._add(kind, source, damage.first, damage.size_bytes, damage.n)
        self._n_more += other._n_more

    def drop_datagram(self, source: str, problem: str, size_bytes: int) -> bool:
        """Record that a malformed datagram is dropped; return whether it is the first one of its source."""
        return self._add("dropped", source, problem, size_bytes).n == 1

    def texts(self) -> list[str]:
        """Return the warnings, one inert line each."""
        texts = list(self._texts)
        for source, kinds in self._damage.items():
            for kind, text in _DAMAGE.items():
                if damage := kinds.get(kind):
                    places = "" if damage.n == 1 else f" in {damage.n} places"
                    texts.append(f"{source}: {text.format(**vars(damage), places=places)}")
        texts += [f"{n} {text}" for text, n in self._counts.items() if n]
        if self._n_more:
            texts.append(f"and {self._n_more} more such warnings")
        return [one_line(text) for text in texts]

    def _add(self, kind: str, source: str, problem: str = "", size_bytes: int = 0, n: int = 1) -> _Damage:
        if source not in self._damage and len(self._damage) >= _MOST:
            source = "other inputs"
        damage = self._damage.setdefault(source, {}).setdefault(kind, _Damage())
        self.unreadable_bytes += size_bytes
        damage.n += n
        damage.size_bytes += size_bytes
        damage.first = damage.first or problem
        return damage

    def state(self) -> State:
        damage = {name: {kind: dict(vars(d)) for kind, d in kinds.items()} for name, kinds in self._damage.items()}
        return {**vars(self), "_damage": damage}

    def restore(self, state: State) -> None:
        vars(self).update(state)
        damage = state["_damage"].items()
        self._damage = {name: {kind: _Damage(**d) for kind, d in kinds.items()} for name, kinds in damage}
