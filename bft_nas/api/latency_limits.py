"""The limit of latency of a search, and the table that it is predicted from: measured for a new run, kept by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bft_nas.core.errors import UserError, one_line
from bft_nas.record.run import LAYER_TABLE
from bft_nas.searching.latency_limit import LatencyLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from bft_nas.record import Run
    from bft_nas.searching.loop import Prepared


def new_limit(prepared: Prepared, say: Callable[[str], None]) -> tuple[LatencyLimit | None, str]:
    """That of a search that begins, and the text of its table; nothing where no latency was asked for.

    Raises:
        UserError: the runtime is not installed, or the limit is below all networks.
    """
    settings, space = prepared.settings, prepared.space
    if settings.latency_runtime is None:
        return None, ""
    from bft_nas.latency.calibration import predictor_for

    predictor = predictor_for(space, settings.budgets, settings.latency_runtime, say)
    limit = LatencyLimit(predictor.milliseconds, settings.latency)
    limit.check(space, settings.budgets, settings.latency_runtime)
    return limit, predictor.to_json()


def known_limit(run: Run) -> LatencyLimit | None:
    """That of a run, by the table that it began with; None where it has none.

    Raises:
        UserError: the table cannot be read.
    """
    settings = run.settings
    if settings.latency_runtime is None:
        return None
    from bft_nas.latency.prediction import Predictor

    path = run.folder / LAYER_TABLE
    try:
        predictor = Predictor.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: expected the run's table of layers ({one_line(error)})") from None
    return LatencyLimit(predictor.milliseconds, settings.latency)
