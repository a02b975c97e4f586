"""Which requests are let in, and the headers of every answer.

A page of another site can make a browser send requests to this server. So a request must name it by an address or by a name that belongs to
this machine, which a name that was rebound to this machine's address does not; and one that changes something must come from its own page.
"""

import ipaddress
import re
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every answer."""


class Guard:
    """Lets requests through to an application, or refuses them.

    Args:
        app: the application.
        names: names of this machine by which it may be called, beside `localhost` and addresses.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self.app = app
        self.names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope["method"], Headers(scope=scope))
        app = self.app if refusal is None else JSONResponse({"error": refusal}, 403)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await app(scope, receive, send_with_headers)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if not self._is_own(host):
            return "this server is called by an address or by a name of its machine, not by that one"
        if method in ("GET", "HEAD"):
            return None
        origin = headers.get("origin")
        is_foreign = origin is not None and origin != f"http://{host}"
        if is_foreign or headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "pages of other sites may not use this server"
        return None

    def _is_own(self, host: str) -> bool:
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(:[0-9]{1,5})?", host)
        if found is None:
            return False
        name = found[1].strip("[]").lower()
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self.names
        return True
