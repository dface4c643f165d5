"""Serves the dashboard: on this machine alone unless told otherwise, and nothing but the dashboard."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

from flask import Flask, Response, abort, request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from bft_nas.core.errors import UserError, setting
from bft_nas.dashboard._layout import TRAINED
from bft_nas.dashboard._trained import REPORTS

if TYPE_CHECKING:
    from dash import Dash

PAGES = ("/", TRAINED)
# What Dash asks its server for, and reports; any other path is none of the dashboard's.
PATHS = ("/_dash-", "/assets/", "/_favicon.ico", "/_reload-hash", REPORTS)
PORTS_TRIED = 20
_TAKEN = (errno.EADDRINUSE, errno.EACCES)
# The browser itself refuses whatever would leave this server. Dash begins with a script in its page, and Plotly writes
# the code that draws by WebGL while it runs.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; frame-ancestors 'none'; form-action 'none'; base-uri 'none'"
)


class _Quiet(WSGIRequestHandler):
    """Requests are nobody's business but the page's."""

    def log(self, type: str, message: str, *args: object) -> None: ...


def listener_on(host: str, port: int) -> socket.socket:
    """A socket that listens on a port, or on the next one that is free.

    Raises:
        UserError: the host is none of this machine's, or all of the next ports are taken.
    """
    for candidate in range(port, min(port + PORTS_TRIED, 65536)):
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[
                0
            ]
            listener = socket.socket(family, kind, protocol)
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "no name of a host"
            raise UserError(
                f"{setting('host')} '{host[:80]}': expected an address of this machine ({why})"
            ) from None
        try:
            # A port left a moment ago is free, one that somebody listens on is not.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except OSError as error:
            listener.close()
            if error.errno not in _TAKEN:
                raise UserError(
                    f"{setting('host')} '{host}' {setting('port')} {candidate}: {error.strerror}"
                ) from None
        else:
            return listener
    raise UserError(f"{setting('port')} {port}: in use, and so are those after it; expected one that is free")


def make_http_server(app: Dash, listener: socket.socket) -> BaseWSGIServer:
    """A server of the app on a socket that listens, to be run by ``serve_forever``."""
    host, port = listener.getsockname()[:2]
    _protect(app.server, host)
    return make_server(host, port, app.server, threaded=True, request_handler=_Quiet, fd=listener.fileno())


def is_local(host: str) -> bool:
    """Whether only this machine reaches an address.

    >>> is_local("127.0.0.1"), is_local("0.0.0.0")
    (True, False)
    """
    return ip_address(host).is_loopback


def _protect(server: Flask, host: str) -> None:
    if is_local(host):
        # A page from elsewhere that has its name resolved to this machine is not answered.
        server.config["TRUSTED_HOSTS"] = ["127.0.0.1", "localhost", "[::1]", host]

    @server.before_request
    def refuse_other_paths() -> None:
        if request.path not in PAGES and not request.path.startswith(PATHS):
            abort(404, f"The dashboard has two pages, at {' and '.join(PAGES)}")

    @server.after_request
    def let_nothing_in_or_out(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response
