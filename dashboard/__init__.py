"""What a run found, as figures and as one HTML file."""

from bft_nas.lazy import lazy_exports

__all__ = ["front_figure", "write_report"]

__getattr__ = lazy_exports(
    __name__,
    {"front_figure": "bft_nas.dashboard.figures", "write_report": "bft_nas.dashboard.report"},
)
