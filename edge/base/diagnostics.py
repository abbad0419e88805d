"""What a run had to leave out, and why: bounded, however bad the input."""

from __future__ import annotations

from dataclasses import dataclass

from edgequake.edge.base.checkpoint import State

_MOST = 100  # texts, and sources with damage; what comes after is counted


@dataclass
class _Damage:
    """What could not be used, or not be trusted, of one source."""

    n_left_out: int = 0  # records whose body cannot be decoded
    left_out_bytes: int = 0
    first: str = ""
    n_suspect: int = 0
    n_junk: int = 0  # stretches of bytes that belong to no record
    junk_bytes: int = 0
    first_junk: str = ""
    n_dropped: int = 0  # datagrams that are not of the form
    first_dropped: str = ""

    def texts(self, source: str) -> list[str]:
        texts = []
        if self.n_junk:
            places = "" if self.n_junk == 1 else f" in {self.n_junk} places"
            texts.append(f"{source}: {self.junk_bytes} bytes{places} belong to no readable record: {self.first_junk}")
        if self.n_left_out:
            texts.append(f"{source}: {self.n_left_out} damaged record(s) left out; the first: {self.first}")
        if self.n_suspect:
            texts.append(f"{source}: {self.n_suspect} record(s) fail their own check of the samples, used as they are")
        if self.n_dropped:
            texts.append(f"{source}: {self.n_dropped} datagram(s) dropped; the first: {self.first_dropped}")
        return texts


class Diagnostics:
    """Warnings of a run; called with a text, it takes it down."""

    def __init__(self) -> None:
        self.unreadable_bytes = 0
        self._texts: list[str] = []
        self._counts: dict[str, int] = {}  # texts that come again and again
        self._n_more = 0
        self._damage: dict[str, _Damage] = {}

    def __call__(self, text: str, unreadable_bytes: int = 0) -> None:
        """Take down a warning and the bytes it is about."""
        self.unreadable_bytes += unreadable_bytes
        if text in self._texts:
            return
        if len(self._texts) < _MOST:
            self._texts.append(text)
        else:
            self._n_more += 1

    def count(self, text: str, n: int = 1) -> None:
        """Take down a warning that begins with a number, and add to that number."""
        if text in self._counts or len(self._counts) < _MOST:
            self._counts[text] = self._counts.get(text, 0) + n
        else:
            self._n_more += n

    def counted(self, text: str) -> int:
        """Return the number that a counted warning begins with."""
        return self._counts.get(text, 0)

    def leave_out(self, source: str, problem: str, size_bytes: int) -> None:
        """Take down a damaged record."""
        self.unreadable_bytes += size_bytes
        damage = self._damage_of(source)
        damage.n_left_out += 1
        damage.left_out_bytes += size_bytes
        damage.first = damage.first or problem

    def junk(self, source: str, problem: str, size_bytes: int, n_places: int = 1) -> None:
        """Take down bytes that belong to no record."""
        self.unreadable_bytes += size_bytes
        damage = self._damage_of(source)
        damage.n_junk += n_places
        damage.junk_bytes += size_bytes
        damage.first_junk = damage.first_junk or problem

    def dropped(self, source: str, problem: str, size_bytes: int) -> int:
        """Take down a datagram that is not of the form; return how many of that source were before it."""
        self.unreadable_bytes += size_bytes
        damage = self._damage_of(source)
        damage.n_dropped += 1
        damage.first_dropped = damage.first_dropped or problem
        return damage.n_dropped - 1

    def suspect(self, source: str) -> None:
        """Take down a record that fails its own check of the samples."""
        self._damage_of(source).n_suspect += 1

    def texts(self) -> list[str]:
        """Return the warnings, one line each."""
        texts = list(self._texts)
        for source, damage in self._damage.items():
            texts += damage.texts(source)
        texts += [f"{n} {text}" for text, n in self._counts.items() if n]
        return [*texts, f"and {self._n_more} more such warnings"] if self._n_more else texts

    def _damage_of(self, source: str) -> _Damage:
        if source not in self._damage and len(self._damage) >= _MOST:
            source = "other inputs"
        return self._damage.setdefault(source, _Damage())

    def state(self) -> State:
        """Return what `restore` goes on from."""
        damage = {source: dict(vars(damage)) for source, damage in self._damage.items()}
        return {**vars(self), "_damage": damage}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        vars(self).update(state)
        self._damage = {source: _Damage(**damage) for source, damage in state["_damage"].items()}
