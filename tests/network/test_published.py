from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from bft_nas.network.published import (
    BUTTERFLIES,
    MARKS,
    best_within,
    published_results,
    static_front,
)

DOCS = Path(__file__).parents[2] / "docs" / "references.md"
CURVES = ("FBNet", "MNasNet", "MobileNetV1+BFT", "MobileNetV3", "MobileNetV3+BFT", "ShuffleNetV2+BFT")


def names(*marks: str) -> set[str]:
    return set(published_results(marks)["name"])


def test_every_row_has_a_source_and_numbers_that_can_be() -> None:
    rows = published_results(MARKS)
    assert len(rows) == 406
    assert {mark for marks in rows["marks"] for mark in marks.split()} == {*MARKS}
    for column in ("name", "family", "resolution", "source"):
        assert rows[column].map(lambda text: isinstance(text, str) and text == text.strip() != "").all()
    assert rows["macs"].dtype == "int64"
    assert rows["macs"].between(1e6, 5e8).all()
    assert rows["params"].dropna().between(1e5, 1e7).all()
    assert rows["top1"].between(38, 80).all()
    pixels = rows.loc[rows["resolution"].str.isdecimal(), "resolution"].astype(int)
    assert pixels.between(48, 256).all()
    assert not rows.duplicated(["name", "resolution", "source"]).any()


def test_rows_rise_in_macs() -> None:
    assert published_results()["macs"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("mark", "some", "said"),
    [
        ("quantised", {"FBNet-96 (int8)", "slim MobileNetV3 Large dm=1 8-bit"}, ("int8", "8-bit")),
        (
            "distilled",
            {"PPLCNet_x0_5_ssld (distilled)", "GhostNetV3 1.0x (distilled, re-param.)"},
            ("distilled",),
        ),
        ("sparse", {"STR MobileNetV1 89 % (unstructured sparse)"}, ("sparse",)),
        ("pretrained", {"timm mobilenetv3_large_100.miil_in21k_ft_in1k"}, ("in21k",)),
        ("weight-shared", {"S-ShuffleNet 0.5 (weights shared)"}, ("weights shared",)),
        ("dynamic", {"MicroNet-M1", "ShuffleNetV2 0.5x, meta-ACON (dynamic activation)"}, ()),
    ],
)
def test_marked_rows_are_left_out_unless_asked_for(mark: str, some: set[str], said: tuple[str, ...]) -> None:
    added = names(mark) - names()
    assert some <= added
    assert all(any(word in name for word in said) for name in added) or not said


def test_what_has_two_marks_needs_both() -> None:
    both = names("distilled", "weight-shared") - names("distilled") - names("weight-shared")
    assert "ofa-pixel1-20" in both


def test_asking_for_more_keeps_the_rest() -> None:
    assert names() < names("quantised") < names(*MARKS)
    assert names() < names("distilled") < names(*MARKS)


@pytest.mark.parametrize("asked", [(), MARKS])
def test_on_a_curve_more_macs_always_are_more_accurate(asked: tuple[str, ...]) -> None:
    rows = published_results(asked)
    assert set(rows["curve"]) == {"", *CURVES}
    for curve in CURVES:
        points = rows[rows["curve"] == curve]
        assert points["macs"].is_monotonic_increasing
        assert points["macs"].is_unique
        assert points["top1"].is_monotonic_increasing
        assert points["top1"].is_unique


def test_curves_are_of_one_recipe() -> None:
    points = published_results(MARKS).query("curve != ''")
    marks = points["name"] + " " + points["source"]
    unlike = r"int8|8-bit|distill|ssld|in21k|_e\d{4}_|epochs|PaddleClas|timm|torchvision|stale|approximate"
    assert not marks.str.contains(unlike).any()
    sources = points.groupby("curve")["source"].agg(" ".join)
    assert "tensorflow/tpu" in sources["MNasNet"]
    assert all("BFT paper" in sources[curve] for curve in CURVES if curve.endswith("+BFT"))


def test_a_curve_is_made_of_what_the_paper_prints() -> None:
    rows = published_results()
    printed = {14: 46.58, 23: 52.26, 35: 54.30, 51: 57.56, 52: 58.35, 112: 63.03, 150: 64.32}
    points = rows[rows["curve"] == "MobileNetV1+BFT"]
    assert dict(zip(points["macs"] // 10**6, points["top1"], strict=True)) == printed


def test_a_row_that_another_beats_is_on_no_curve() -> None:
    rows = published_results().set_index("name")
    assert rows.loc["MnasNet-A1 1x @96", "curve"] == ""
    assert rows.loc["MnasNet-A1 0.5x @160", "curve"] == "MNasNet"


def test_the_static_front_is_what_no_cheaper_plain_network_without_butterflies_reaches() -> None:
    rows = published_results(MARKS)
    best = static_front(rows)
    assert best.equals(static_front(published_results()))
    assert set(best["marks"]) == {""}
    assert BUTTERFLIES not in set(best["family"])
    plain = rows[(rows["marks"] == "") & (rows["family"] != BUTTERFLIES)]
    for macs in rows["macs"].unique():
        reached = plain.loc[plain["macs"] <= macs, "top1"]
        found = best_within(best, macs)
        assert (None if reached.empty else reached.max()) == (None if found is None else found["top1"])
    assert best_within(best, 6_000_000) is None


def test_the_documented_table_of_butterflies_beside_dense_rows_is_that_of_the_data() -> None:
    assert butterfly_table() in DOCS.read_text(encoding="utf-8"), f"paste:\n{butterfly_table()}"


def butterfly_table() -> str:
    rows = published_results()
    lines = [
        "| network | MACs | top-1 | best of the same network |  | best static row |  |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows[rows["family"] == BUTTERFLIES].to_dict("records"):
        same = rows[rows["family"] == row["name"].split("-")[0]]
        cells = [row["name"], f"{row['macs'] / 1e6:.0f}M", f"{row['top1']:.1f}"]
        for rivals in (same, rows):
            best = best_within(static_front(rivals), row["macs"])
            assert best is not None
            cells.append(f"{best['top1']:.1f}, {best['name']} ({best['macs'] / 1e6:.1f}M)")
            cells.append(f"{row['top1'] - best['top1']:+.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def test_unknown_parameters_are_not_a_number() -> None:
    params = published_results().set_index("name")["params"]
    assert math.isnan(params["ShuffleNetV2-1.25+BFT @128"])
    assert params["MnasNet-A1 0.35x @96"] == pytest.approx(1.7e6)


def test_importing_it_does_not_wait_for_pandas() -> None:
    code = "import sys, bft_nas.network.published; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
