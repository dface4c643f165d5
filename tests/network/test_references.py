"""The comparison networks, against the counts that were published for them."""

import pytest

from bft_nas.network import cost
from bft_nas.network.references import REFERENCES, divisible, reference

# Name, width, resolution, MACs and parameters in millions, from their papers and authors' code.
PUBLISHED = [
    ("mobilenet_v1", 1.0, 224, 569, 4.23),
    ("mobilenet_v1", 0.5, 224, 149.5, 1.33),
    ("mobilenet_v1", 0.25, 224, 41.0, 0.47),
    ("mobilenet_v1", 0.25, 128, 13.6, 0.47),
    ("mobilenet_v2", 1.0, 224, 300.8, 3.50),
    ("mobilenet_v3_small", 1.0, 224, 56.5, 2.54),
    ("mobilenet_v3_large", 1.0, 224, 216.6, 5.48),
    ("shufflenet_v2", 0.5, 224, 40.5, 1.37),
    ("shufflenet_v2", 1.0, 224, 144.9, 2.28),
    ("mnasnet_a1", 1.0, 224, 312, 3.9),
    ("mnasnet_b1", 1.0, 224, 314.4, 4.38),
    ("mnasnet_b1", 0.5, 224, 104.5, 2.22),
]
# Alizadeh-Vahid et al., table 4.
WITH_BUTTERFLIES = [
    ("mobilenet_v1_bft", 1.0, 96, 14),
    ("mobilenet_v1_bft", 1.0, 128, 23),
    ("mobilenet_v1_bft", 1.0, 160, 35),
    ("mobilenet_v1_bft", 1.0, 192, 51),
    ("mobilenet_v1_bft", 2.0, 128, 52),
    ("mobilenet_v1_bft", 2.0, 192, 112),
    ("mobilenet_v1_bft", 2.0, 224, 150),
]


@pytest.mark.parametrize(("name", "width", "resolution", "macs", "params"), PUBLISHED)
def test_published_networks_have_their_published_counts(
    name: str, width: float, resolution: int, macs: float, params: float
) -> None:
    counted = cost(reference(name, width=width, resolution=resolution))
    assert counted.macs / 1e6 == pytest.approx(macs, rel=0.015)
    assert counted.params / 1e6 == pytest.approx(params, rel=0.015)


@pytest.mark.parametrize(("name", "width", "resolution", "macs"), WITH_BUTTERFLIES)
def test_the_papers_butterfly_networks_have_their_counts(
    name: str, width: float, resolution: int, macs: float
) -> None:
    assert cost(reference(name, width=width, resolution=resolution)).macs / 1e6 == pytest.approx(
        macs, rel=0.06
    )


@pytest.mark.parametrize("name", REFERENCES)
def test_any_width_and_resolution_is_a_network(name: str) -> None:
    counts = [cost(reference(name, width=w, resolution=96, classes=10)).macs for w in (0.25, 0.6, 1.0, 1.7)]
    assert counts == sorted(counts)


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no reference 'mobilenet_v4'; expected one of mobilenet_v1, "):
        reference("mobilenet_v4")


def test_rounding_never_takes_more_than_a_tenth() -> None:
    for channels in range(1, 2000):
        assert divisible(channels) % 8 == 0
        assert divisible(channels) >= 0.9 * channels
