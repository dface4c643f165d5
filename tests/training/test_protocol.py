"""What makes two accuracies comparable, and how it is written down."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import yaml

from bft_nas.core.errors import UserError
from bft_nas.training.protocol import ADDED, ALWAYS, Protocol, default_divisor
from bft_nas.training.recipe import Recipe
from tests.conftest import FORMER

PROTOCOL = Protocol("photos", "0123456789ab", 3, 900, 100, 4)


def another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + ("x" if isinstance(value, str) else 1)


@pytest.mark.parametrize(
    ("resolutions", "divisor"), [((128, 224), 6), ((224,), 6), ((64, 224), 2), ((32,), 1), ((96,), 2)]
)
def test_the_proxy_shrinks_images_as_far_as_a_mobile_network_can_bear(
    resolutions: tuple[int, ...], divisor: int
) -> None:
    assert default_divisor(resolutions) == divisor


def test_every_field_of_the_protocol_and_of_its_recipe_changes_its_hash() -> None:
    own = [field.name for field in fields(Protocol) if field.name != "recipe"]
    recipe = [field.name for field in fields(Recipe)]
    changed = [replace(PROTOCOL, **{name: another(getattr(PROTOCOL, name))}) for name in own]
    for name in recipe:
        other: dict[str, Any] = {name: another(getattr(PROTOCOL.recipe, name))}
        changed.append(replace(PROTOCOL, recipe=replace(PROTOCOL.recipe, **other)))
    assert len({each.hash for each in [PROTOCOL, *changed]}) == 1 + len(own) + len(recipe)


def test_a_protocol_is_read_back_whole_or_not_at_all() -> None:
    written = PROTOCOL.to_dict()
    assert Protocol.from_dict(written) == PROTOCOL
    lacking = {**written, "recipe": {**written["recipe"], "colour": 1}}
    for broken in ({}, written | {"colour": 1}, lacking):
        with pytest.raises(UserError, match="protocol: key"):
            Protocol.from_dict(broken)


def test_what_the_first_schema_wrote_is_read_under_the_hash_that_it_had() -> None:
    content = yaml.safe_load((FORMER / "run.yaml").read_text(encoding="utf-8"))
    assert "schema" not in content["protocol"]
    protocol = Protocol.from_dict(content["protocol"])
    assert protocol.hash == content["protocol_hash"]
    assert {name: getattr(protocol.recipe, name) for name in ALWAYS} == ALWAYS
    # Today's form of it says the same.
    assert Protocol.from_dict(protocol.to_dict()) == protocol


def test_the_second_schema_began_no_branch_as_zero() -> None:
    old = replace(PROTOCOL, recipe=replace(PROTOCOL.recipe, zero_residuals=False))
    written = old.to_dict() | {"schema": 2}
    del written["recipe"]["zero_residuals"]
    assert Protocol.from_dict(written) == old


def test_the_third_schema_knew_nothing_of_trainings_to_the_end() -> None:
    written = PROTOCOL.to_dict() | {"schema": 3}
    for name in (*ADDED[4], *ADDED[5]):
        del written["recipe"][name]
    assert Protocol.from_dict(written) == PROTOCOL
    assert Protocol.from_dict(written).hash == PROTOCOL.hash


@pytest.mark.parametrize("schema", [6, 0, "two", None])
def test_a_schema_of_a_later_version_is_refused(schema: object) -> None:
    with pytest.raises(UserError, match="schema"):
        Protocol.from_dict(PROTOCOL.to_dict() | {"schema": schema})
