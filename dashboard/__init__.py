"""What a run found: as figures, as one HTML file and as an app."""

from bft_nas.core.lazy import lazy_exports

__all__ = [
    "butterfly_figure",
    "comparison_figure",
    "curves_figure",
    "front_figure",
    "importance_figure",
    "parallel_figure",
    "placement_figure",
    "search_figures",
    "standings_figure",
    "strip_figure",
    "write_report",
    "write_run_report",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "butterfly_figure": "bft_nas.dashboard.butterflies",
        "comparison_figure": "bft_nas.dashboard.network",
        "curves_figure": "bft_nas.dashboard.curves",
        "front_figure": "bft_nas.dashboard.front",
        "importance_figure": "bft_nas.dashboard.choices",
        "parallel_figure": "bft_nas.dashboard.choices",
        "placement_figure": "bft_nas.dashboard.placement",
        "search_figures": "bft_nas.dashboard.search_course",
        "standings_figure": "bft_nas.dashboard.standings",
        "strip_figure": "bft_nas.dashboard.network",
        "write_report": "bft_nas.dashboard.report",
        "write_run_report": "bft_nas.dashboard.report",
    },
)
