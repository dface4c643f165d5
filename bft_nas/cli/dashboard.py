"""``bft-nas dashboard``: runs and trained networks in a browser, finished or running."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from bft_nas.cli.options import (
    Parser,
    add_command,
    add_runs_folder,
    add_trained_folder,
    port,
    runs_folder,
    trained_folder,
)
from bft_nas.core import interrupts
from bft_nas.core.errors import UserError, printable
from bft_nas.core.extras import require


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "dashboard",
        "show runs and trained networks in a browser, and follow them",
        "bft-nas dashboard mobile-50M",
        "Finished runs and running ones, and networks trained to the end or in training; without any, a bundled "
        "search.",
        run=run,
    )
    parser.add_argument(
        "run", nargs="*", metavar="RUN", help="names of runs; the first is shown (default: the newest)"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="to listen on (default: %(default)s, which only this machine reaches)",
    )
    parser.add_argument(
        "--port",
        type=port,
        default=8050,
        metavar="N",
        help="to listen on, or the next free one (default: %(default)s)",
    )
    add_runs_folder(parser)
    add_trained_folder(parser)


def run(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    require("dashboard", "dashboard")
    from bft_nas.dashboard._runs import Runs
    from bft_nas.dashboard._server import is_local, listener_on, make_http_server
    from bft_nas.dashboard.app import make_app

    folder, trained = runs_folder(options), trained_folder(options)
    runs = Runs(folder, trained)
    # A folder is as good a name as any for whoever has their shell complete it.
    asked = (Path(name).name if Path(name).parent == folder else name for name in options.run)
    names = tuple(map(printable, asked))
    for name in names:
        runs.read(name)
    for name in () if names else runs.names()[-1:]:
        # What the page begins with; it says itself when that cannot be read.
        with suppress(UserError):
            runs.read(name)
    listener = listener_on(options.host, options.port)
    host, taken = listener.getsockname()[:2]
    server = make_http_server(make_app(runs, names), listener)
    if taken != options.port:
        print(f"port {options.port} is in use; taking {taken}", file=sys.stderr)
    if not is_local(host):
        print(
            f"warning: whoever reaches this machine on port {taken} can read the runs under '{printable(folder)}' "
            f"and the trained networks under '{printable(trained)}'",
            file=sys.stderr,
        )
    shown = f"runs under '{printable(folder)}'"
    if runs.is_empty:
        shown = f"no run under '{printable(folder)}' yet, so a bundled, finished search"
        if runs.trainings.names():
            shown = (
                f"no run under '{printable(folder)}', and the trained networks under '{printable(trained)}'"
            )
    where = f"[{host}]" if ":" in host else host
    interrupts.listen()
    with listener, server:
        try:
            print(f"http://{where}:{taken}/  {shown}; Ctrl-C ends it", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0
