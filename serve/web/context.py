"""What all pages share: the run folder's readers, the reviews, templates, and how answers are made."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import format_time
from edgequake.edge.operation.status import read_status
from edgequake.results import words
from edgequake.serve.reviews.review_log import ACCEPT
from edgequake.serve.reviews.review_store import ReviewStore
from edgequake.serve.station.catalog_index import CatalogIndex
from edgequake.serve.station.ground import Ground
from edgequake.serve.station.waveforms import RunWaveforms
from edgequake.serve.web.sessions import Session, Sessions

_Result = TypeVar("_Result")
REVIEWER_COOKIE = "edgequake_reviewer"
UNREVIEWED, ACCEPTED, REJECTED = 0, 1, 2  # states in the index
# Classes that a reviewer may give whatever the run's model knows; NASA's for the Moon, and those of the shipped models.
CLASSES = ("impact_mq", "deep_mq", "shallow_mq", "local", "regional", "teleseism", "explosion", "noise")
_CLEARED_S = 2.0  # for so long an answer to all pages is the same
_MOST_ANSWERS = 64
_INDEXED_AT_ONCE = 1 << 23  # bytes of the catalogue, between which other threads get their turn
_THREADS = 2  # that read and compute: the machine is the runner's


class Context:
    """The run folder and its reviews, for all pages."""

    def __init__(self, out: Path, reviews: ReviewStore, sessions: Sessions, log: Callable[[str], None]) -> None:
        self.out, self.reviews, self.sessions, self.log = out, reviews, sessions, log
        self.index = CatalogIndex(out)
        self.waveforms = RunWaveforms(out)
        self.ground = Ground(out)
        self.templates = _templates()
        self._pool = ThreadPoolExecutor(_THREADS, "serve")
        self._answers: dict[object, tuple[float, Any]] = {}
        self._index_lock = threading.Lock()
        self._states_of: tuple[int, int, int] = (0, 0, 0)  # generation and rows of the index, actions in the reviews

    async def in_thread(self, work: Callable[[], _Result]) -> _Result:
        """Do something that takes a while beside the requests of others."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def shared(self, key: object, work: Callable[[], _Result], lasts_s: float = _CLEARED_S) -> _Result:
        """Return what `work` returns, or what it has returned to another page a moment ago."""
        found = self._answers.get(key)
        if found is None or time.monotonic() - found[0] > lasts_s:
            running = asyncio.ensure_future(self.in_thread(work))
            self.remember(key, running)
            found = self._answers[key]
            running.add_done_callback(lambda done: self._answers.pop(key, None) if done.exception() else None)
        result: _Result = await asyncio.shield(found[1])
        return result

    def remembered(self, key: object, lasts_s: float) -> Any:
        """Return what `remember` was given; None where it is forgotten or older."""
        found = self._answers.get(key)
        return found[1] if found is not None and time.monotonic() - found[0] <= lasts_s else None

    def remember(self, key: object, value: Any) -> None:
        """Keep a value for a while."""
        while len(self._answers) >= _MOST_ANSWERS:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = (time.monotonic(), value)

    def refresh(self) -> None:
        """Read what the run and other reviewers have added."""
        with self._index_lock:
            while True:
                self.index.refresh(_INDEXED_AT_ONCE)
                if self.index.is_complete:
                    break
            self.reviews.refresh()
            reviews = self.reviews.all()
            stamp = (self.index.generation, len(self.index), self._n_actions())
            if stamp != self._states_of:
                self.index.clear_states()
                numbers = self.index.find(reviews)
                for state in (ACCEPTED, REJECTED):
                    own = [number for evid, number in numbers.items() if state_of(reviews[evid].verdict) == state]
                    self.index.set_state(own, state)
                self._states_of = stamp

    def _n_actions(self) -> int:
        try:
            return (self.reviews.folder / "reviews.jsonl").stat().st_size
        except OSError:
            return 0

    def classes(self) -> list[str]:
        """Return the classes that a reviewer can give."""
        return list(dict.fromkeys([*filter(None, self.index.classes), *CLASSES]))

    def status(self) -> dict[str, Any] | None:
        """Return the run's status; None where it writes none, or one that is damaged."""
        try:
            return read_status(self.out)
        except (DataError, KeyError, TypeError, ValueError, AttributeError, OSError):
            return None

    def page(self, request: Request, name: str, status: int = 200, /, **values: Any) -> Response:
        """Return a page from its template."""
        session: Session = request.state.session
        text = self.templates.get_template(f"{name}.html.j2").render(
            secret=self.sessions.form_secret(session),
            is_in=session.is_in,
            run_name=self.out.resolve().name,
            reviewer=reviewer_of(request),
            path=request.url.path,
            is_part="hx-request" in request.headers,
            **values,
        )
        return HTMLResponse(text, status)


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    """Return the templates; each is compiled once in a process."""
    templates = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    templates.filters.update(
        size=words.size, time=lambda time_ns: format_time(time_ns)[:19].replace("T", " "), precise=precise_time
    )
    return templates


def _template(name: str) -> str:
    return (resources.files("edgequake.serve") / "templates" / name).read_text(encoding="utf-8")


def state_of(verdict: str | None) -> int:
    """Return the state in the index of a verdict."""
    return UNREVIEWED if verdict is None else ACCEPTED if verdict == ACCEPT else REJECTED


def precise_time(time_ns: int) -> str:
    """Return a time to the millisecond."""
    return format_time(time_ns)[:23].replace("T", " ")


def reviewer_of(request: Request) -> str:
    """Return how the person at the browser calls themselves; a name, not a proof."""
    return "".join(c for c in request.cookies.get(REVIEWER_COOKIE, "") if c.isalnum() or c in "-_.")[:32] or "reviewer"


def as_json(value: Any) -> Response:
    """Return an answer for scripts."""
    return Response(json.dumps(value, separators=(",", ":"), allow_nan=False), media_type="application/json")
