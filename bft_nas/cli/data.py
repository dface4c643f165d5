"""``bft-nas data``: what there is in a source of images, and a page to look at them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bft_nas.cli.options import Parser, add_command, natural, path

if TYPE_CHECKING:
    from bft_nas.data.dataset import Dataset
    from bft_nas.record.facts import Facts

SIDE = 96
"""Of the images on the page, in pixels."""
NAMED = 20


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "data",
        "say what images there are, and show some of them",
        "bft-nas data photos/",
        "Reads images as a search does, names what is left out and why, and writes a page with some of each class.",
        run=run,
    )
    parser.add_argument(
        "data",
        metavar="DATA",
        help="fashion-mnist, cifar10, cifar10=FOLDER, a folder of class folders, a .npz or hf:NAME",
    )
    parser.add_argument(
        "-o", "--output", type=path, metavar="FILE", help="the page (default: NAME-images.html)"
    )
    parser.add_argument(
        "--max-unreadable",
        type=natural,
        metavar="N",
        help="images that may be left out because they cannot be decoded (default: 20, or 1%% if more)",
    )


def run(options: argparse.Namespace) -> int:
    """Print what was found, and write the page."""
    from bft_nas.cli.tables import make_console, print_facts
    from bft_nas.core.files import check_writable
    from bft_nas.dashboard.contact_sheet import check_sheet, write_contact_sheet
    from bft_nas.data.dataset import load_dataset

    if options.output is None:
        check_writable(Path())
    else:
        check_sheet(options.output)
    dataset = load_dataset(options.data, size=SIDE, max_unreadable=options.max_unreadable)
    facts = _facts(dataset, _test_images(options.data))
    sheet = options.output or Path(f"{dataset.name}-images.html")
    write_contact_sheet(sheet, dataset, facts)
    print_facts(make_console(), [*facts, ("page", str(sheet))])
    return 0


def _test_images(source: str) -> str:
    """What there is to try a training on; a search does without, and so what is wrong with it stops nothing here."""
    from bft_nas.core.errors import UserError
    from bft_nas.data.dataset import check_test, has_test

    try:
        check_test(source)
    except UserError as error:
        return f"none that a training takes: {error}"
    found = has_test(source)
    return (
        "there are test images, which are read at the end of a training alone" if found else "no test images"
    )


def _facts(dataset: Dataset, test: str) -> Facts:
    import numpy as np

    from bft_nas.data.division import unevenness
    from bft_nas.data.doubles import doubles

    counts = np.bincount(dataset.train.labels, minlength=len(dataset.classes))
    named = [f"{name} {count:,}" for name, count in zip(dataset.classes, counts, strict=True)]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    facts = [
        ("data", f"{dataset.name} (digest {dataset.digest})"),
        (
            "images",
            f"{len(dataset.train.labels):,} to train on, {len(dataset.validation.labels):,} to validate",
        ),
        ("test", test),
        ("classes", f"{len(named)}: {', '.join(named[:NAMED])}{more}"),
    ]
    uneven = unevenness(dataset.train, dataset.classes)
    facts += [("uneven", f"{uneven}; bft-nas train --balance evens it out")] if uneven else []
    twice = doubles(dataset.train, dataset.validation)
    facts += [("twice", twice)] if twice else []
    facts += [("read", note) for note in dataset.notes]
    return facts + [("left out", text) for text in dataset.left_out]
