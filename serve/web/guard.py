"""Refuses what no page of this server asks for, before anything else sees it, and says what browsers may do.

The name in the Host header must be one of this server's: a page of another site that has its name lead here (DNS
rebinding) still carries that name. Forms must come from a page of this server: by the headers that browsers add
(Origin, Sec-Fetch-Site), and by the session's secret in the form. Everything is limited: addresses, bodies, rates.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Iterable, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgequake.edge.base.inert_text import one_line
from edgequake.serve.web.limits import BODY_S, MOST_BODY_BYTES, MOST_FIELDS, MOST_TARGET_BYTES, Rate, RefusalLog
from edgequake.serve.web.sessions import COOKIE, LIFETIME_S, Session, Sessions

LOGIN = "/login"
FORM_SECRET, FORM_SECRET_HEADER = "secret", "x-form-secret"
_FORM_TYPE = "application/x-www-form-urlencoded"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), usb=()",
}
_READS_A_SECOND, _READS_AT_ONCE = 50.0, 400.0  # ten pages that are open, each asking thrice in two seconds
_WRITES_A_SECOND, _WRITES_AT_ONCE = 5.0, 60.0  # a reviewer who holds a key down
_LOGINS_A_SECOND, _LOGINS_AT_ONCE = 0.1, 5.0


class Refused(Exception):
    """A request that is refused."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


def host_of(header: str) -> str:
    """Return the name in a Host header without its port, in lower case; blank where it is no host."""
    try:
        return (urlsplit(f"//{header}").hostname or "") if not set(header) & set("/?#@\\ \t") else ""
    except ValueError:
        return ""


class Guard:
    """ASGI middleware around the whole server."""

    def __init__(
        self, app: ASGIApp, sessions: Sessions, names: Sequence[str], any_address: bool, log: RefusalLog
    ) -> None:
        """Guard `app`.

        names : what the Host header may say.
        any_address : whether it may say any IP address too, as where the server listens on all of a machine's.
        """
        self._app, self._sessions, self._log = app, sessions, log
        self._names, self._any_address = {name.lower() for name in names}, any_address
        self._reads = Rate(_READS_A_SECOND, _READS_AT_ONCE)
        self._writes = Rate(_WRITES_A_SECOND, _WRITES_AT_ONCE)
        self._logins = Rate(_LOGINS_A_SECOND, _LOGINS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a web socket: no page opens one
            self._log.refused(_client(scope), scope["type"], "only HTTP is served")
            await send({"type": "websocket.close", "code": 1008})
            return
        session = self._session(scope)
        is_new = session is None
        session = session or self._sessions.new()
        scope.setdefault("state", {})
        scope["state"]["session"] = session
        response: Response | None = None
        try:
            self._check_target(scope)
            if not scope["path"].startswith("/static/"):
                response = self._doorkeeper(scope, session)
            if response is None and scope["method"] == "POST":
                scope["state"]["form"] = await self._form(scope, receive, session)
        except Refused as refusal:
            self._log.refused(_client(scope), one_line(f"{scope['method']} {scope['path'][:200]}"), refusal.why)
            response = PlainTextResponse(f"{refusal.why}\n", refusal.status)
            response.headers["connection"] = "close"
            if refusal.status == 429:
                response.headers["retry-after"] = "10"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
                current = scope["state"]["session"]
                if response is None and (is_new or current is not session):
                    headers.append("set-cookie", self._set_cookie(current))
            await send(message)

        await (response or self._app)(scope, receive, send_with_headers)

    def _set_cookie(self, session: Session) -> str:
        value = self._sessions.cookie(session)
        return f"{COOKIE}={value}; Path=/; Max-Age={LIFETIME_S}; HttpOnly; SameSite=Strict"

    def _session(self, scope: Scope) -> Session | None:
        jar: SimpleCookie = SimpleCookie()
        with contextlib.suppress(CookieError):
            jar.load(Headers(scope=scope).get("cookie", "")[:4096])
        return self._sessions.read(jar[COOKIE].value) if COOKIE in jar else None

    def _check_target(self, scope: Scope) -> None:
        """Check name, method, address and rate.

        Raises
        ------
        Refused
            One of them is none of ours.
        """
        headers, client = Headers(scope=scope), _client(scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(host_of(hosts[0])):
            raise Refused(421, f"the Host header names no address of this server: {one_line(' '.join(hosts)[:100])}")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            raise Refused(405, "only GET and POST are served")
        if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > MOST_TARGET_BYTES:
            raise Refused(414, "the address is too long")
        if not (self._writes if scope["method"] == "POST" else self._reads).allows(client):
            raise Refused(429, "too many requests")
        if scope["method"] == "POST" and scope["path"] == LOGIN and not self._logins.allows(client):
            raise Refused(429, "too many attempts to log in")

    def _is_ours(self, host: str) -> bool:
        if host in self._names:
            return True
        if not self._any_address:
            return False
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True

    def _doorkeeper(self, scope: Scope, session: Session) -> Response | None:
        """Return where to send a browser that has not shown the token; None where it may go on.

        Raises
        ------
        Refused
            It asks for something else than a page.
        """
        if session.is_in or scope["path"] == LOGIN:
            return None
        if scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", ""):
            return RedirectResponse(LOGIN, 303)
        raise Refused(401, "log in first")

    async def _form(self, scope: Scope, receive: Receive, session: Session) -> list[tuple[str, str]]:
        """Return the fields of a form that a page of this server has sent.

        Raises
        ------
        Refused
            It is none, or too large, or too slow.
        """
        headers = Headers(scope=scope)
        if headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
            raise Refused(415, "only plain forms are taken, no files")
        if "origin" in headers and urlsplit(headers["origin"]).netloc.lower() != headers["host"].lower():
            raise Refused(403, "a form of another site")
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refused(403, "a form of another site")
        length = headers.get("content-length", "")
        if length and (not length.isdigit() or int(length) > MOST_BODY_BYTES):
            raise Refused(413, "the form is too large")
        try:
            body = await asyncio.wait_for(_body(receive), BODY_S)
            fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except asyncio.TimeoutError:
            raise Refused(408, "the form takes too long to come") from None
        except ValueError:
            raise Refused(400, "no form") from None
        shown = headers.get(FORM_SECRET_HEADER) or dict(fields).get(FORM_SECRET, "")
        if not self._sessions.is_form_secret(session, shown):
            raise Refused(403, "the form has no secret of this session: load its page again")
        return fields


async def _body(receive: Receive) -> bytes:
    """Return the body of a request; its end is not waited for when it is too large.

    Raises
    ------
    Refused
        It is too large, or the client has gone.
    """
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused(400, "the client has gone")
        body += bytes(message.get("body", b""))
        if len(body) > MOST_BODY_BYTES:
            raise Refused(413, "the form is too large")
        if not message.get("more_body", False):
            return body


def _client(scope: Scope) -> str:
    client: Any = scope.get("client")
    return str(client[0]) if client else "-"


def values_of(form: Iterable[tuple[str, str]], name: str) -> list[str]:
    """Return the values of a field of a form."""
    return [value for key, value in form if key == name]
