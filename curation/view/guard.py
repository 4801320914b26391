"""Who may ask the page for anything: a browser on this machine that has opened the address with the token.

The page shows harmful texts and writes labels, and every page in the same browser can send requests to a port of this machine. So a
request needs our cookie (SameSite=Strict), one of our host names (a name elsewhere may point here: DNS rebinding), and to change
something our own origin.
"""

import secrets
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class PageGuard:
    """Lets through what comes from a browser that has the token; puts the policy on every response.

    Args:
        app: what is guarded.
        port: the port of this machine where it answers.
        token: what the address that is printed has; made up where it is null.
    """

    def __init__(self, app: ASGIApp, port: int, token: str | None = None) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._cookie = f"curate-view-{port}"
        self._secret = secrets.token_urlsafe(32)
        self.token = token or secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            answering = self._refusal(Request(scope)) or self._app
            await answering(scope, receive, _with_headers(send))

    def _refusal(self, request: Request) -> Response | None:
        """What to answer instead of the page; null for a request that is let through."""
        host = request.headers.get("host", "")
        if host not in self._hosts:
            return _refused(421, "this page answers only under 127.0.0.1 and localhost")
        given = parse_qs(request.url.query).get("token", [""])[0]
        if request.method == "GET" and given:
            return self._exchanged(request, given)
        if not _equal(request.cookies.get(self._cookie, ""), self._secret):
            return _refused(403, "open the address that `curate view` printed; it has the token")
        if request.method not in ("GET", "HEAD", "POST"):
            return _refused(405, "this page has GET and POST")
        if request.method == "POST" and request.headers.get("origin") not in {
            f"http://{one}" for one in self._hosts
        }:
            return _refused(403, "this request comes from another page")
        return None

    def _exchanged(self, request: Request, given: str) -> Response:
        if not _equal(given, self.token):
            return _refused(
                403, "this token is of an earlier start; open the address that `curate view` printed last"
            )
        rest = request.url.remove_query_params("token")
        path = "/" + rest.path.lstrip("/\\")  # "//name" would lead to another host
        response = RedirectResponse(path + (f"?{rest.query}" if rest.query else ""), 303)
        response.set_cookie(self._cookie, self._secret, httponly=True, samesite="strict", path="/")
        return response


def _equal(given: str, secret: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def _refused(status: int, why: str) -> Response:
    return PlainTextResponse(f"{why}\n", status)


def _with_headers(send: Send) -> Any:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message["headers"] = [*message.get("headers", ()), *ours]
        await send(message)

    return sending
