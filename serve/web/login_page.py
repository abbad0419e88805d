"""Logging in with the token, and the name that reviews are signed with."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from edgequake.serve.web.context import REVIEWER_COOKIE, Context
from edgequake.serve.web.guard import values_of
from edgequake.serve.web.limits import RefusalLog
from edgequake.serve.web.sessions import LIFETIME_S

_WRONG_S = 1.0  # a wrong token is answered so late


class LoginPage:
    """Addresses /login, /logout and /reviewer."""

    def __init__(self, context: Context, refusals: RefusalLog) -> None:
        self._context, self._refusals = context, refusals

    async def page(self, request: Request) -> Response:
        """The form, or what came of it."""
        if request.state.session.is_in:
            return RedirectResponse("/now", 303)
        if request.method != "POST":
            return self._context.page(request, "login", wrong=False)
        shown = (values_of(request.state.form, "token") or [""])[0]
        if not self._context.sessions.is_token(shown.strip()):
            client = request.client.host if request.client else "-"
            self._refusals.refused(client, "POST /login", "a wrong token")
            await asyncio.sleep(_WRONG_S)
            return self._context.page(request, "login", 403, wrong=True)
        request.state.session = self._context.sessions.new(is_in=True)  # another name than before the login
        return RedirectResponse("/now", 303)

    async def logout(self, request: Request) -> Response:
        """Forget the session."""
        request.state.session = self._context.sessions.new()
        return RedirectResponse("/", 303)

    async def reviewer(self, request: Request) -> Response:
        """Set the name that reviews are signed with."""
        typed = (values_of(request.state.form, "name") or [""])[0]
        name = "".join(c for c in typed.strip().replace(" ", "_") if c.isascii() and (c.isalnum() or c in "-_."))[:32]
        response = RedirectResponse("/events", 303)
        response.set_cookie(
            REVIEWER_COOKIE, name or "reviewer", max_age=LIFETIME_S, httponly=True, samesite="strict", path="/"
        )
        return response
