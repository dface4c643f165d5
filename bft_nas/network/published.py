"""What papers and the authors of networks report on ImageNet, each number with its source.

The rows are in ``literature/results.csv``. They are drawn as a layer of their own: full trainings by
others, of recipes that differ, which the accuracies of a search are not compared with.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FILE = Path(__file__).parent / "literature" / "results.csv"
MARKS = ("quantised", "distilled", "dynamic", "sparse", "weight-shared", "pretrained")
"""What sets a row apart from a network of static float weights that was trained by itself: it computes in 8 bits, was
taught by a larger network, has weights or activations that depend on the image (attention among them), is counted
without its zeros, is a part of a larger network whose weights it shares, or has seen more images than ImageNet's."""
BUTTERFLIES = "BFT"
"""The family of the rows with butterflies."""
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


def published_results(marks: Collection[str] = ()) -> pd.DataFrame:
    """Published ImageNet results by rising MACs, one row a network.

    The columns: ``name``, ``family``, ``macs``, ``params`` (NaN where unknown), ``resolution`` (text, since it is
    ``var`` for some), ``top1`` (percent), ``marks`` (those of `MARKS` that it has, between spaces), ``source`` and
    ``curve``, the name of the curve that the row is a point of. Curves are the fronts of FBNet, MNasNet, MobileNetV3
    and of each network with butterflies, as their authors report them; any other row has an empty ``curve``.

    Args:
        marks: some of `MARKS`, rows with which are wanted too; rows with any other one are left out.

    >>> bft = published_results().query("curve == 'MobileNetV1+BFT'")
    >>> bft["macs"].is_monotonic_increasing and bft["top1"].is_monotonic_increasing
    True
    """
    import pandas as pd

    rows = pd.read_csv(
        _FILE, dtype={"resolution": str}, keep_default_na=False, na_values={"params_millions": [""]}
    )
    table = pd.DataFrame(
        {
            "name": rows["name"],
            "family": rows["family"],
            "macs": (1e6 * rows["macs_millions"]).round().astype("int64"),
            "params": 1e6 * rows["params_millions"],
            "resolution": rows["resolution"],
            "top1": rows["top1"],
            "marks": rows["marks"],
            "source": rows["source"],
            "curve": "",
        }
    )
    for curve, (name, source) in _CURVES.items():
        family = BUTTERFLIES if curve.endswith("+BFT") else curve
        alike = (table["family"] == family) & (table["marks"] == "")
        alike &= table["name"].str.startswith(name) & table["source"].str.contains(source)
        table.loc[_front(table[alike]), "curve"] = curve
    kept = table["marks"].map(lambda text: {*text.split()} <= {*marks})
    return table[kept].sort_values(["macs", "top1", "name"], ignore_index=True)


def static_front(rows: pd.DataFrame) -> pd.DataFrame:
    """What butterflies have to beat: rows without them and without marks that no other one beats, by rising MACs.

    Args:
        rows: what `published_results` returns, or some of it.
    """
    rivals = rows[(rows["family"] != BUTTERFLIES) & (rows["marks"] == "")]
    return rivals.loc[_front(rivals)].reset_index(drop=True)


def best_within(front: pd.DataFrame, macs: int) -> dict[str, Any] | None:
    """The most accurate row of a front with at most so many MACs; None where it has none.

    >>> best_within(static_front(published_results()), 41_000_000)["top1"]
    64.32
    """
    within = front[front["macs"] <= macs].to_dict("records")
    return {str(key): value for key, value in within[-1].items()} if within else None


def _front(rows: pd.DataFrame) -> pd.Index:
    """The index of the rows that no other beats in both MACs and top-1."""
    ordered = rows.sort_values(["macs", "top1"], ascending=[True, False])
    best_of_cheaper = ordered["top1"].cummax().shift(fill_value=-1.0)
    return ordered.index[ordered["top1"] > best_of_cheaper]
