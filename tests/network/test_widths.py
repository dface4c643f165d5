"""Channel counts: never much below what was asked for, and always of the grid."""

from bft_nas.network.widths import divisible, on_grid, width_grid


def test_rounding_to_multiples_of_8_never_takes_more_than_a_tenth() -> None:
    for channels in range(1, 2000):
        assert divisible(channels) % 8 == 0
        assert divisible(channels) >= 0.9 * channels


def test_the_nearest_of_the_grid() -> None:
    grid = width_grid()
    assert all(on_grid(width) == width for width in grid[:-1])
    for channels in range(1, 2000):
        nearest = min(
            grid, key=lambda width: abs(width / channels - 1) if width > channels else channels / width - 1
        )
        assert max(on_grid(channels), nearest) / min(on_grid(channels), nearest) < 1.001
