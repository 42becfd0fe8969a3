"""The login of a browser: a token in exchange for a cookie, and its end."""

import math

from fastapi import Request, Response

from dashboards.access import cookie_values
from search.server.access.rates import Rates
from search.server.access.tokens import SESSION_SECONDS
from search.server.problems import ProblemError
from search.server.service import service_of
from search.server.settings import Settings


def begin_session(request: Request, response: Response, token: str) -> bool:
    """Give a browser that has sent a token the cookie of a session. Return whether the token is known.

    Raises ProblemError, status 429, for an address that has sent too many wrong tokens.
    """
    service = service_of(request)
    address = request.client.host if request.client else "unknown"
    value = service.callers.login(token)
    if value is None:
        count_wrong(service.wrong_tokens, address)
        return False
    encrypted = service.settings.tls is not None or request.headers.get("origin", "").startswith("https://")
    response.set_cookie(
        session_cookie(service.settings),
        value,
        max_age=int(SESSION_SECONDS),
        secure=encrypted,
        httponly=True,
        samesite="strict",
    )
    return True


def end_session(request: Request, response: Response) -> None:
    """End the session of a browser, and let it forget the cookie."""
    service = service_of(request)
    name = session_cookie(service.settings)
    service.callers.logout(cookie_values(request.headers.get("cookie", ""), name))
    response.delete_cookie(name, httponly=True, samesite="strict")


def session_cookie(settings: Settings) -> str:
    """Return the name of the cookie. Browsers share cookies between ports, so it contains the port."""
    return f"search-session-{settings.port}"


def count_wrong(wrong_tokens: Rates, address: str) -> None:
    """Count a wrong token. Raises ProblemError for an address that has sent too many.

    Known tokens of that address are still taken: others may share it, as behind a proxy.
    """
    if (wait := wrong_tokens.take(address)) > 0:
        raise too_many("too many wrong tokens from this address", wait)


def too_many(words: str, wait: float) -> ProblemError:
    """Return the answer to a caller that must wait. wait: seconds."""
    seconds = math.ceil(wait)
    return ProblemError(429, "too-many", f"{words}; try again in {seconds} s", {"Retry-After": str(seconds)})
