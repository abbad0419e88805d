"""Who is who: signed cookies, the token that lets a browser in from elsewhere, and the secret of each session's forms.

A cookie names a session and says whether its browser has shown the token; it is signed with a secret of this process,
so a restart ends all sessions. The secret of forms is another signature of the session's name: a page of another site
can neither read nor guess it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

COOKIE = "edgequake_session"
LIFETIME_S = 30 * 86_400
_COOKIE = re.compile(r"([0-9a-f]{32})\.(\d{1,12})\.([01])\.([0-9a-f]{64})", re.ASCII)
LEAST_TOKEN_LETTERS = 16


@dataclass(frozen=True)
class Session:
    """One browser."""

    name: str
    until_s: int  # seconds since 1970
    is_in: bool  # whether it may see the pages


class Sessions:
    """Issues and reads cookies."""

    def __init__(self, token: str | None, now_s: Callable[[], float] = time.time) -> None:
        """Let in whoever shows `token`; None: everybody, as on loopback."""
        self._token, self._now_s = token, now_s
        self._secret = secrets.token_bytes(32)

    def new(self, is_in: bool = False) -> Session:
        """Return a new session; where there is no token, it is let in."""
        return Session(secrets.token_hex(16), int(self._now_s()) + LIFETIME_S, is_in or self._token is None)

    def is_token(self, shown: str) -> bool:
        """Whether somebody has shown the token; takes the same time for every wrong one."""
        return self._token is not None and hmac.compare_digest(_digest(shown), _digest(self._token))

    def cookie(self, session: Session) -> str:
        """Return the value of a session's cookie."""
        body = f"{session.name}.{session.until_s}.{int(session.is_in)}"
        return f"{body}.{self._sign('cookie', body)}"

    def read(self, cookie: str) -> Session | None:
        """Return the session of a cookie; None where it is forged, too old, or of another process."""
        found = _COOKIE.fullmatch(cookie)
        if found is None:
            return None
        name, until, is_in, signature = found.groups()
        if not hmac.compare_digest(signature, self._sign("cookie", f"{name}.{until}.{is_in}")):
            return None
        return Session(name, int(until), is_in == "1") if int(until) > self._now_s() else None

    def form_secret(self, session: Session) -> str:
        """Return what every form of a session must bring with it."""
        return self._sign("form", session.name)

    def is_form_secret(self, session: Session, shown: str) -> bool:
        """Whether a form has brought the secret of its session."""
        return hmac.compare_digest(_digest(shown), _digest(self.form_secret(session)))

    def _sign(self, what: str, text: str) -> str:
        return hmac.new(self._secret, f"{what}:{text}".encode(), hashlib.sha256).hexdigest()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()
