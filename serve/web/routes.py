"""The server's addresses, each with the method that answers it, and the guard around them all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from edgequake.edge.base.errors import EdgequakeError
from edgequake.edge.base.inert_text import one_line
from edgequake.serve.web.context import Context
from edgequake.serve.web.days_page import DaysPage
from edgequake.serve.web.event_page import EventPage
from edgequake.serve.web.events_page import EventsPage
from edgequake.serve.web.ground_page import GroundPage
from edgequake.serve.web.guard import Guard
from edgequake.serve.web.limits import RefusalLog
from edgequake.serve.web.login_page import LoginPage
from edgequake.serve.web.now_page import NowPage

_TYPES = {".js": "text/javascript", ".css": "text/css", ".txt": "text/plain", ".svg": "image/svg+xml"}


def make_site(context: Context, names: Sequence[str], any_address: bool = False) -> ASGIApp:
    """Return the server of a run folder; `names` and `any_address`: what the Host header may say, see `Guard`."""
    refusals = RefusalLog(context.log)
    now, days, ground = NowPage(context), DaysPage(context), GroundPage(context)
    events = EventsPage(context)
    event, login = EventPage(context, events), LoginPage(context, refusals)
    routes = [
        Route("/", lambda request: RedirectResponse("/now", 303)),
        Route("/now", now.page),
        Route("/now/health", now.health),
        Route("/now/data", now.data),
        Route("/days", days.page),
        Route("/days/data", days.data),
        Route("/events", events.page),
        Route("/events/add", events.add, methods=["POST"]),
        Route("/events/review", events.review, methods=["POST"]),
        Route("/events/undo", events.undo, methods=["POST"]),
        Route("/events/next", event.next),
        Route("/events/{evid}", event.page),
        Route("/events/{evid}/data", event.data),
        Route("/events/{evid}/probability", event.probability),
        Route("/ground", ground.page),
        Route("/ground/request", ground.request_span, methods=["POST"]),
        Route("/ground/acknowledge", ground.acknowledge, methods=["POST"]),
        Route("/login", login.page, methods=["GET", "POST"]),
        Route("/logout", login.logout, methods=["POST"]),
        Route("/reviewer", login.reviewer, methods=["POST"]),
        Route("/static/{name:path}", static_file),
    ]

    async def on_problem(request: Request, problem: Exception) -> Response:
        return context.page(request, "message", 503, title="Not readable now", text=one_line(str(problem)))

    async def on_defect(request: Request, problem: Exception) -> Response:
        context.log(one_line(f"a defect: {request.url.path[:200]}: {type(problem).__name__}: {problem}"))
        return PlainTextResponse("The server has met a defect; its log names it.\n", 500)

    async def on_missing(request: Request, problem: Exception) -> Response:
        return context.page(request, "message", 404, title="No such page", text="There is nothing at this address.")

    handlers = {EdgequakeError: on_problem, 404: on_missing, Exception: on_defect}
    app = Starlette(routes=routes, exception_handlers=handlers)
    return Guard(app, context.sessions, names, any_address, refusals)


async def static_file(request: Request) -> Response:
    """Return a script or a style sheet; only those that are part of the package are looked up."""
    found = _static_files().get(str(request.path_params["name"]))
    if found is None:
        return PlainTextResponse("no such file\n", 404)
    data, media_type = found
    return Response(data, media_type=media_type, headers={"cache-control": "max-age=3600"})


@lru_cache(maxsize=1)
def _static_files() -> dict[str, tuple[bytes, str]]:
    """Return the contents and types of the files in static/, by their names there."""
    files = {}
    top = resources.files("edgequake.serve") / "static"
    for folder, prefix in ((top, ""), (top / "vendor", "vendor/")):
        for file in folder.iterdir():
            suffix = "." + file.name.rpartition(".")[2]
            if file.is_file() and suffix in _TYPES:
                files[prefix + file.name] = (file.read_bytes(), _TYPES[suffix])
    return files
