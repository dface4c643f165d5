"""Draws the bundled dataset from the full Fashion-MNIST (Debian's package dataset-fashion-mnist).

    python benchmarks/make_bundled_dataset.py

Writes bft_nas/data/bundled/fashion-mnist.npz, the same bytes each time with the same zlib: 10,000 training and
3,000 validation images from the original training file, 4,000 test images from the original test file, each
class equally often. A picture that occurs twice in the originals is taken at most once.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt

SEED = 2017
TRAIN_A_CLASS, VALIDATION_A_CLASS, TEST_A_CLASS = 1000, 300, 400
LARGEST_FILE = 8_000_000

Bytes = npt.NDArray[np.uint8]


def main() -> None:
    """Reads the originals, draws the three parts and prints what was written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--originals", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    default = Path(__file__).parents[1] / "bft_nas" / "data" / "bundled" / "fashion-mnist.npz"
    parser.add_argument("--output", type=Path, default=default)
    arguments = parser.parse_args()

    images, labels = read_pair(arguments.originals, "train")
    test_images, test_labels = read_pair(arguments.originals, "t10k")
    seen: set[bytes] = set()
    train, validation = draw(images, labels, (TRAIN_A_CLASS, VALIDATION_A_CLASS), seen)
    (test,) = draw(test_images, test_labels, (TEST_A_CLASS,), seen)
    np.savez_compressed(
        arguments.output,
        train_images=images[train],
        train_labels=labels[train],
        val_images=images[validation],
        val_labels=labels[validation],
        test_images=test_images[test],
        test_labels=test_labels[test],
    )
    size = arguments.output.stat().st_size
    print(f"{arguments.output}: {len(train)} + {len(validation)} + {len(test)} images, {size:,} bytes")
    if size > LARGEST_FILE:
        raise SystemExit(f"expected at most {LARGEST_FILE:,} bytes: lower the counts")


def read_pair(folder: Path, part: str) -> tuple[Bytes, Bytes]:
    """Images (n, 28, 28) and labels (n,) of one of the original pairs of IDX files."""
    images = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    return np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28), np.frombuffer(
        labels, np.uint8, offset=8
    )


def draw(images: Bytes, labels: Bytes, counts: tuple[int, ...], seen: set[bytes]) -> list[list[int]]:
    """Positions of disjoint parts with ``counts`` images of each class, none of them in ``seen``.

    Adds what it takes to ``seen``; positions keep the order of the file.
    """
    parts: list[list[int]] = [[] for _ in counts]
    taken = np.zeros((len(counts), 10), int)
    # RandomState rather than Generator: NumPy promises that its numbers never change.
    for position in np.random.RandomState(SEED).permutation(len(labels)).tolist():
        label, pixels = labels[position], images[position].tobytes()
        for part, count in enumerate(counts):
            if taken[part, label] < count and pixels not in seen:
                seen.add(pixels)
                taken[part, label] += 1
                parts[part].append(position)
    return [sorted(part) for part in parts]


if __name__ == "__main__":
    main()
