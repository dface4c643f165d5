"""The commands that show runs: dashboard and report. What is slow to import is imported where it is needed."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from bft_nas.cli.unforeseen import left_out
from bft_nas.core import interrupts
from bft_nas.core.errors import UserError, printable


def dashboard_command(options: argparse.Namespace) -> int:
    """``bft-nas dashboard``: its exit code."""
    from bft_nas.dashboard._runs import EXAMPLE, Runs
    from bft_nas.dashboard._server import is_local, listen, make_http_server
    from bft_nas.dashboard.app import make_app

    runs = Runs(options.runs)
    # A folder is as good a name as any for whoever has their shell complete it.
    asked = (Path(name).name if Path(name).parent == options.runs else name for name in options.run)
    names = tuple(map(printable, asked))
    for name in names:
        runs.read(name)
    for name in () if names else runs.names()[-1:]:
        # What the page begins with; it says itself when that cannot be read.
        with suppress(UserError):
            runs.read(name)
    listener = listen(options.host, options.port)
    host, port = listener.getsockname()[:2]
    server = make_http_server(make_app(runs, names), listener)
    if port != options.port:
        print(f"port {options.port} is in use; taking {port}", file=sys.stderr)
    if not is_local(host):
        print(
            f"warning: whoever reaches this machine on port {port} can read the runs under '{printable(options.runs)}'",
            file=sys.stderr,
        )
    shown = f"runs under '{printable(options.runs)}'"
    if runs.names() == (EXAMPLE.name,) and not (options.runs / EXAMPLE.name).exists():
        shown = f"no run under '{printable(options.runs)}' yet, so a finished search that comes along"
    where = f"[{host}]" if ":" in host else host
    interrupts.listen()
    with listener, server:
        try:
            print(f"http://{where}:{port}/  {shown}; Ctrl-C ends it", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def report_command(options: argparse.Namespace) -> int:
    """``bft-nas report``: its exit code."""
    from bft_nas.dashboard import write_run_report
    from bft_nas.record import Run

    run, problems = Run.open(options.run, runs=options.runs), []

    def note_view(view: str, error: Exception) -> None:
        problems.append(left_out(view, error, run.folder))

    print(printable(write_run_report(run, options.output, on_problem=note_view)))
    if problems:
        print(f"bft-nas: error: {'; '.join(problems)}", file=sys.stderr)
    return int(bool(problems))
