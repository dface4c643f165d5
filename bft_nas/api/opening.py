"""A run opened for training: a new one, or one that is resumed, shared or compared with the references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from bft_nas.api.latency_limits import known_limit, new_limit
from bft_nas.api.request import RunOptions
from bft_nas.api.run import Run
from bft_nas.api.work import Say, Work
from bft_nas.core.errors import UserError, setting
from bft_nas.core.options import check_keywords, options_of
from bft_nas.data.dataset import SMALL_SIDE, is_there
from bft_nas.data.sides import side_of
from bft_nas.engines.choice import MakeEngine, WorkersUnder, choose_engine
from bft_nas.engines.options import EngineOptions
from bft_nas.record import DataFacts, Settings
from bft_nas.record.storage import check_database
from bft_nas.searching import loop
from bft_nas.space.space import SearchSpace

SMALL_SPACE = "tiny"
"""The space of small images, unless another one is named."""


@contextmanager
def open_work(given: Mapping[str, Any], *, say: Say, command: str = "") -> Iterator[Work]:
    """The run that a search is about, made where there is none, for as long as this process works on it.

    Args:
        given: the options of a search that were given, by name.
        say: is told of a journal that had to be repaired.
        command: to be kept in a new run.

    Raises:
        UserError: a mistake in what was given; nothing was written by then.
    """
    clock = loop.Clock()
    options, engine_options = RunOptions.of(given), EngineOptions.of(given)
    if options.existing is not None:
        run = Run.open(options.existing, runs=options.runs)
        if "storage" in given:
            run.database = str(given["storage"])
        alone = options.join is None
        with run.members.joined(alone=alone):
            repaired = run.repair_journal() if alone else None
            if repaired:
                say(repaired)
            # Whoever shares a run may have its data in a place of their own.
            prepared = _prepared_for(run, run.settings.resumed(given), kept=alone)
            limit = known_limit(run)
            with _engine_for(prepared, engine_options) as (workers, make_engine):
                clock.workers = workers(prepared.protocol)
                yield Work(run, prepared, workers, make_engine, clock, options, limit)
        return
    settings = _for_small_images(Settings.of(given), given, say)
    loop.check_names(settings)
    space = SearchSpace.load(settings.space, resolutions=settings.resolutions or None)
    if settings.fusion is not None:
        space = space.restricted(fusion=settings.fusion)
    prepared = loop.prepare(settings, space)
    for budget in settings.budgets:
        prepared.space.check_reached(budget)
    dataset, images = prepared.images.dataset, prepared.images
    facts = DataFacts(dataset.classes, images.mean, images.std, dataset.notes, dataset.left_out)
    with _engine_for(prepared, engine_options) as (workers, make_engine):
        clock.workers = workers(prepared.protocol)
        limit, layer_table = new_limit(prepared, say)
        database = str(given.get("storage", ""))
        if database:
            # Last: what is checked of a file makes it.
            check_database(database)
        run = Run.create(
            options.name,
            prepared.settings,
            prepared.space,
            prepared.protocol,
            data=facts,
            runs=options.runs,
            command=command,
            layer_table=layer_table,
        )
        run.database = database
        with run.members.joined(alone=True):
            yield Work(run, prepared, workers, make_engine, clock, options, limit)


def _for_small_images(settings: Settings, given: Mapping[str, Any], say: Say) -> Settings:
    """The settings, with the space for small images where they or the resolutions are small and no space is named."""
    if "space" in given:
        return settings
    side = None if settings.resolutions else side_of(settings.data)
    if side is not None:
        fitting = [each for each in SearchSpace.load(SMALL_SPACE).resolutions if each >= side]
        settings = replace(settings, resolutions=(min(fitting),) if fitting else ())
    if not settings.resolutions or max(settings.resolutions) > SMALL_SIDE:
        return settings
    pixels = ", ".join(map(str, settings.resolutions))
    say(
        f"space {SMALL_SPACE} at {pixels} pixels, which is for small images; {setting('space')} takes another one"
    )
    return replace(settings, space=SMALL_SPACE)


@contextmanager
def open_finished(run: Run, given: Mapping[str, Any]) -> Iterator[Work]:
    """A run that is not searched any further while more is trained for it, for as long as this process works on it.

    Args:
        run: as it is.
        given: the options of the engine that were given, by name, and ``data`` with where the run's data are now.

    Raises:
        UserError: a mistake in what was given, or another process is at work on the run.
    """
    clock = loop.Clock()
    check_keywords(given, {"data", *options_of(EngineOptions)})
    engine_options = EngineOptions.of(given)
    # Who joined meanwhile would leave what comes after a search to this process, which does none of it.
    with run.members.joined(alone=True, shut=True):
        data = str(given.get("data") or run.settings.data)
        prepared = _prepared_for(run, replace(run.settings, data=data), kept=True)
        clock.preparing = clock.whole
        with _engine_for(prepared, engine_options) as (workers, make_engine):
            clock.workers = workers(prepared.protocol)
            yield Work(run, prepared, workers, make_engine, clock, RunOptions.of({}))


def _engine_for(
    prepared: loop.Prepared, options: EngineOptions
) -> AbstractContextManager[tuple[WorkersUnder, MakeEngine]]:
    return choose_engine(options, prepared.space.resolutions, max(prepared.settings.budgets))


def _prepared_for(run: Run, settings: Settings, *, kept: bool) -> loop.Prepared:
    """What a run needs to resume, under its own protocol; what may change is then ``kept`` in it."""
    if settings.data == run.settings.data and not is_there(settings.data):
        raise UserError(
            f"run '{run.name}': no data at {settings.data} any more; expected {setting('data')} with where they are "
            f"now"
        )
    # Runs that say nothing of it were confirmed on images as small as those of their proxy trainings.
    nearer = settings.confirm_divisor or run.protocol.resolution_divisor
    prepared = loop.prepare(replace(settings, confirm_divisor=nearer), run.space, run.protocol.recipe)
    loop.check_protocol(run, prepared.protocol)
    if kept:
        run.keep(data=prepared.settings.data)
    return replace(prepared, protocol=run.protocol)
