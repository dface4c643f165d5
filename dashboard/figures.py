"""The views of a run as Plotly figures, for notebooks and pages of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from bft_nas.core.errors import UserError
from bft_nas.dashboard._run_data import RunData, read_run
from bft_nas.dashboard.butterflies import butterfly_figure
from bft_nas.dashboard.choices import importance_figure, parallel_figure
from bft_nas.dashboard.curves import curves_figure
from bft_nas.dashboard.front import Against, front_figure
from bft_nas.dashboard.network import comparison_figure, strip_figure
from bft_nas.dashboard.placement import placement_figure
from bft_nas.dashboard.search_course import SEARCH_VIEWS, search_figures
from bft_nas.dashboard.standings import standings_figure
from bft_nas.network.published import published_results
from bft_nas.record.pareto import front

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from bft_nas.record import Run


class Figures:
    """One method a view; each reads the run as it is now and returns a `plotly.graph_objects.Figure`."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def front(self, against: Against = "macs") -> go.Figure:
        """Accuracy against MACs or latency: candidates, front, budgets, winners, references; see `front_figure`.

        Raises:
            UserError: against anything else.
        """
        if against not in get_args(Against):
            raise UserError(f"against {against}: expected {' or '.join(get_args(Against))}")
        data = self._data()
        return front_figure(
            data.results,
            data.budgets,
            references=data.references,
            published=published_results(),
            show_published=data.imagenet,
            against=against,
        )

    def standings(self) -> go.Figure:
        """What was confirmed, beside the winner of its budget; see `standings_figure`."""
        return standings_figure(self._data().verdicts)

    def curves(self, *highlighted: int) -> go.Figure:
        """The learning curves; those of some candidates are drawn strongly.

        Raises:
            UserError: there is no such candidate.
        """
        for number in highlighted:
            self._run.row(number)
        return curves_figure(self._data().curves, highlighted=highlighted)

    def butterflies(self) -> go.Figure:
        """Where the networks of the front have butterflies; see `butterfly_figure`."""
        on_front = front(self._data().results)
        numbers = [int(number) for number in on_front["number"]]
        return butterfly_figure(on_front, {number: self._run.architecture(number) for number in numbers})

    def placement(self) -> go.Figure:
        """What butterflies are worth in each family and stage; see `placement_figure`."""
        data = self._data()
        return placement_figure(data.results, data.headed)

    def importances(self) -> go.Figure:
        """Which choices of the space decide; see `importance_figure`."""
        data = self._data()
        return importance_figure(data.proposals, data.results)

    def choices(self) -> go.Figure:
        """All candidates as lines across their choices; see `parallel_figure`."""
        data = self._data()
        return parallel_figure(data.results, data.proposals)

    def network(self, number: int | None = None) -> go.Figure:
        """A candidate, by default the winner, layer by layer; see `strip_figure`."""
        return strip_figure(self._run.architecture(self._run.number_or_winner(number)))

    def comparison(self, above: int, below: int) -> go.Figure:
        """Two candidates, layer across from layer; see `comparison_figure`."""
        networks = [self._run.architecture(number) for number in (above, below)]
        return comparison_figure(networks[0], networks[1], names=(str(above), str(below)))

    def course(self, view: str = "hypervolume_epochs", *, beside: Sequence[Run] = ()) -> go.Figure:
        """How the search went; ``view`` is one of `SEARCH_VIEWS`, with other runs beside this one.

        Raises:
            UserError: there is no such view.
        """
        if view not in SEARCH_VIEWS:
            raise UserError(f"view {view}: expected one of {', '.join(SEARCH_VIEWS)}")
        return search_figures({run.name: read_run(run) for run in (self._run, *beside)})[view]

    def _data(self) -> RunData:
        return read_run(self._run)
