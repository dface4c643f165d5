"""What papers and the authors of networks report on ImageNet, each number with its source.

The rows are in ``literature/results.csv``. They are drawn as a layer of their own: full trainings by
others, of recipes that differ, which the accuracies of a search are not compared with.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_FILE = Path(__file__).parent / "literature" / "results.csv"
_INT8 = r"int-?8|\b8-?bit|quanti[sz]ed"
_DISTILLED = r"distill|ssld"
# A curve is of one network and one recipe. These parts of names and sources mark what the authors report, and what
# papers quote of them; elsewhere the same networks were trained longer, on more data or as other variants.
_CURVES = {
    "FBNet": ("", "mobile-vision README|arXiv:1812.03443|arXiv:1906.02256"),
    "MNasNet": ("", "tensorflow/tpu models/official/mnasnet"),
    "MobileNetV3": ("", "arXiv:1905.02244|arXiv:1906.02256|arXiv:2108.05894"),
    "MobileNetV1+BFT": ("MobileNetV1", "arXiv:1906.02256"),
    "MobileNetV3+BFT": ("MobileNetV3", "arXiv:1906.02256"),
    "ShuffleNetV2+BFT": ("ShuffleNetV2", "arXiv:1906.02256"),
}


def published_results(*, int8: bool = False, distilled: bool = False) -> pd.DataFrame:
    """Published ImageNet results by rising MACs, one row a network.

    The columns: ``name``, ``family``, ``macs``, ``params`` (NaN where unknown), ``resolution`` (text, since it is
    ``var`` for some), ``top1`` (percent), ``source`` and ``curve``, the name of the curve that the row is a point
    of. Curves are the fronts of FBNet, MNasNet, MobileNetV3 and of each network with butterflies, as their authors
    report them; any other row has an empty ``curve``.

    Args:
        int8: with the rows whose name or source marks them as quantised.
        distilled: with the rows whose name or source marks them as distilled.

    >>> bft = published_results().query("curve == 'MobileNetV1+BFT'")
    >>> bft["macs"].is_monotonic_increasing and bft["top1"].is_monotonic_increasing
    True
    """
    import pandas as pd

    rows = pd.read_csv(
        _FILE, dtype={"resolution": str}, keep_default_na=False, na_values={"params_millions": [""]}
    )
    marks = rows["name"] + " " + rows["source"]
    quantised = marks.str.contains(_INT8, case=False)
    taught = marks.str.contains(_DISTILLED, case=False)
    table = pd.DataFrame(
        {
            "name": rows["name"],
            "family": rows["family"],
            "macs": (1e6 * rows["macs_millions"]).round().astype("int64"),
            "params": 1e6 * rows["params_millions"],
            "resolution": rows["resolution"],
            "top1": rows["top1"],
            "source": rows["source"],
            "curve": "",
        }
    )
    for curve, (name, source) in _CURVES.items():
        family = "BFT" if curve.endswith("+BFT") else curve
        alike = (table["family"] == family) & ~quantised & ~taught
        alike &= table["name"].str.startswith(name) & table["source"].str.contains(source)
        table.loc[_front(table[alike]), "curve"] = curve
    kept = (int8 | ~quantised) & (distilled | ~taught)
    return table[kept].sort_values(["macs", "top1", "name"], ignore_index=True)


def _front(rows: pd.DataFrame) -> pd.Index:
    """The index of the rows that no other beats in both MACs and top-1."""
    ordered = rows.sort_values(["macs", "top1"], ascending=[True, False])
    best_of_cheaper = ordered["top1"].cummax().shift(fill_value=-1.0)
    return ordered.index[ordered["top1"] > best_of_cheaper]
