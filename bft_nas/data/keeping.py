"""Where a folder's decoded images are: in memory, else mapped from a file that is made once, else nowhere."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bft_nas.core.files import cache_folder, is_folder
from bft_nas.core.launched import neighbours
from bft_nas.core.machine import usable_memory
from bft_nas.core.units import format_bytes, format_pixels
from bft_nas.data.cache import Cache, Facts, fingerprint_of, place_of
from bft_nas.data.division import Parts, Pixels, Split
from bft_nas.data.image_files import ImageFiles
from bft_nas.data.reading import Chosen, Passing, Reader, Rows
from bft_nas.data.summary import digest_of, normalisation_of

MEMORY_SHARE, DISK_SHARE = 2, 3
"""Decoded images take at most the second part of the memory, or the third part of the disk, that is free.

Processes that train together have the files in common, but memory of their own each: they share that part.
"""


@dataclass(frozen=True)
class Room:
    """How many bytes decoded images may take, and where."""

    memory: int
    disk: int
    folder: Path
    """Of all caches."""

    @classmethod
    def here(cls) -> Room:
        """On this machine, as it is now."""
        folder = cache_folder("images")
        there = next(place for place in (folder, *folder.parents) if is_folder(place))
        memory, disk = usable_memory(), shutil.disk_usage(there).free
        most = 1 << 62 if memory is None else memory // MEMORY_SHARE // neighbours()
        return cls(most, disk // DISK_SHARE, folder)


def read(reader: Reader, notes: tuple[str, ...], room: Room | None) -> Parts:
    """The images of a folder, decoded unless that was done before; without ``room`` in memory, whatever they take.

    Pixels, digest and normalisation are the same wherever the images are.

    Raises:
        UserError: too much of the folder cannot be decoded.
    """
    chosen = reader.chosen()
    if room is None:
        return _in_memory(reader, chosen, notes)
    count, side = len(chosen.paths), reader.size
    needed = count * side * side * 3
    fits = needed <= room.memory
    cache = Cache(room.folder / place_of(reader))
    if fits and not cache.has_pixels():
        return _kept(_in_memory(reader, chosen, notes), side, f"in memory, {format_bytes(needed)}")
    fingerprint = fingerprint_of(reader)
    with cache.locked():
        facts = cache.facts(fingerprint)
        if facts is not None and len(facts.unreadable) > reader.most_unreadable(count):
            facts = None
        if facts is not None and cache.has_pixels(needed - len(facts.unreadable) * side * side * 3):
            kept = f"as decoded before, {format_bytes(needed)} in {cache.folder}"
            return _kept(_of_facts(reader, facts, cache), side, kept)
        if fits:
            return _kept(_in_memory(reader, chosen, notes), side, f"in memory, {format_bytes(needed)}")
        beyond = f"{format_bytes(needed)}, and there is {format_bytes(room.memory)} of memory for them"
        if needed <= room.disk:
            with cache.making((count, side, side, 3)) as pixels:
                if pixels is not None:
                    parts = _in_file(reader, chosen, notes, pixels, cache, fingerprint)
                    return _kept(parts, side, f"{parts.kept}: {beyond}")
        if facts is None:
            passing = Passing(tuple(reader.train), side)
            chosen = reader.decode(chosen, passing)
            parts = _parts(reader, chosen, notes, *_in_files(reader, chosen, reader.whites))
            facts = Facts.of(reader, parts, fingerprint, str(passing.digest), passing.moments.normalisation)
            if reader.settled:
                cache.put(facts, None)
        kept = f"decoded anew in each epoch: {beyond} and {format_bytes(room.disk)} of the disk"
        return _kept(_of_facts(reader, facts, None), side, kept)


def _kept(parts: Parts, side: int, where: str) -> Parts:
    """With what is said of the images that are used, which may be fewer than room was asked for."""
    count = len(parts.train.labels) + len(parts.validation.labels)
    return replace(parts, kept=f"{count:,} images at {format_pixels(side)} {where}")


def read_all(reader: Reader, room: Room | None) -> Split:
    """Images of a folder that are all in one split, as those for the test are; not to be read again soon."""
    chosen = reader.chosen()
    count, side = len(chosen.paths), reader.size
    if room is None or count * side * side * 3 <= room.memory:
        test = _in_rows(reader, chosen, (), np.empty((count, side, side, 3), np.uint8)).train
    else:
        chosen = reader.decode(chosen, Passing((), side))
        test = _in_files(reader, chosen, reader.whites)[0]
    # By now it is known which of them can be decoded.
    return replace(test, left_out=reader.left_out(), names=reader.names(reader.chosen().train[0]))


def _in_memory(reader: Reader, chosen: Chosen, notes: tuple[str, ...]) -> Parts:
    side = reader.size
    return _in_rows(reader, chosen, notes, np.empty((len(chosen.paths), side, side, 3), np.uint8))


def _in_rows(reader: Reader, chosen: Chosen, notes: tuple[str, ...], pixels: Pixels) -> Parts:
    rows = Rows(pixels)
    chosen = reader.decode(chosen, rows)
    return _parts(reader, chosen, notes, *_halves(reader, rows.in_order(chosen.paths), chosen))


def _in_file(
    reader: Reader, chosen: Chosen, notes: tuple[str, ...], pixels: Pixels, cache: Cache, fingerprint: str
) -> Parts:
    """The images decoded into those of a file that is being made, which the cache has from then on."""
    parts = _in_rows(reader, chosen, notes, np.asarray(pixels))
    facts = Facts.of(reader, parts, fingerprint, digest_of(parts), normalisation_of(parts.train))
    if reader.settled:
        cache.put(facts, pixels)
        return replace(_of_facts(reader, facts, cache), kept=f"decoded once into {cache.folder}")
    # The file goes with this process.
    kept = "decoded into a file for this time, as some cannot be read now"
    return replace(parts, kept=kept, digest=facts.digest, normalisation=facts.normalisation)


def _of_facts(reader: Reader, facts: Facts, cache: Cache | None) -> Parts:
    """What is known of a folder, with the pixels of a cache or those of the files."""
    reader.unreadable.update({reader.root / name: why for name, why in facts.unreadable.items()})
    chosen = reader.chosen()
    if cache is None:
        splits = _in_files(reader, chosen, facts.whites)
    else:
        splits = _halves(reader, cache.pixels((len(chosen.paths), reader.size, reader.size, 3)), chosen)
    return Parts(
        tuple(reader.train),
        *splits,
        facts.notes,
        facts.left_out,
        digest=facts.digest,
        normalisation=facts.normalisation,
        whites=facts.whites,
    )


def _parts(reader: Reader, chosen: Chosen, notes: tuple[str, ...], train: Split, validation: Split) -> Parts:
    notes = (*reader.notes(chosen.paths), *notes)
    return Parts(tuple(reader.train), train, validation, notes, reader.left_out(), whites=reader.whites)


def _halves(reader: Reader, pixels: Pixels, chosen: Chosen) -> tuple[Split, Split]:
    train, validation = chosen.labels
    names = reader.names(chosen.validation[0])
    return Split(pixels[: len(train)], train), Split(pixels[len(train) :], validation, names=names)


def _in_files(reader: Reader, chosen: Chosen, whites: Mapping[bool, int]) -> tuple[Split, Split]:
    none = np.empty((0, reader.size, reader.size, 3), np.uint8)
    train, validation = (
        Split(none, labels, ImageFiles(part[0], reader.size, whites))
        for part, labels in zip((chosen.train, chosen.validation), chosen.labels, strict=True)
    )
    return train, replace(validation, names=reader.names(chosen.validation[0]))
