"""Search spaces: the files, the budget that is never exceeded, and the widths that use it."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bft_nas.core.errors import UserError
from bft_nas.network import BLOCKS, Architecture, cost
from bft_nas.network.widths import width_grid
from bft_nas.space.space import BUNDLED, Proposal, SearchSpace, bundled_spaces

SPACES = ["mobilenet_v1", "shufflenet_v2", "mobilenet_v3", "mnasnet", "mobile"]
SMALL = """
family: tiny
resolution: [32, 64]
budget_share: [0.5, 1.0]
width: {min: 0.25, max: 4}
stem: {channels: 16}
stages:
  - {block: separable, channels: 32, stride: 2, depth: [1, 2], fusion: [dense, butterfly], radix: [2, 4]}
  - {block: inverted, channels: 32, stride: 1, expansion: [1, 2], squeeze_excite: [false, true],
     expand_fusion: [dense, butterfly], fusion: butterfly}
"""


def parse(text: str) -> SearchSpace:
    return SearchSpace.parse(text, where="test.yaml", name="test")


def proposals(space: SearchSpace, count: int, budget: int, seed: int = 0) -> list[Proposal]:
    rng = random.Random(seed)
    return [space.sample(rng, budget) for _ in range(count)]


@pytest.mark.parametrize("budget", [10_000_000, 50_000_000, 150_000_000])
@pytest.mark.parametrize("name", SPACES)
def test_2000_proposals_stay_within_the_budget_and_use_their_share(name: str, budget: int) -> None:
    space = SearchSpace.load(name)
    made = proposals(space, 2000, budget)
    for proposal in made:
        assert proposal.macs <= proposal.allowance <= budget
        assert cost(proposal.architecture).macs == proposal.macs
    used = sum(proposal.macs > 0.9 * proposal.allowance for proposal in made)
    assert used >= 0.95 * len(made)


@pytest.mark.parametrize("name", SPACES)
def test_widths_are_multiples_of_8_with_small_prime_factors(name: str) -> None:
    grid = set(width_grid())
    assert all(n % 8 == 0 for n in grid)
    for proposal in proposals(SearchSpace.load(name), 100, 50_000_000):
        net = proposal.architecture
        assert {net.stem.channels, *(block.channels for block in net.blocks)} <= grid


def every_choice(architecture: Architecture, choice: str) -> set[Any]:
    rows = (block.to_dict() for block in architecture.blocks)
    return {row[choice] for row in rows}


def test_every_choice_of_the_issue_comes_up() -> None:
    made = [p.architecture for p in proposals(SearchSpace.load("mobile"), 600, 100_000_000)]
    radices = {f"butterfly-{radix}" for radix in (2, 4, 8, 16)}
    assert {net.family for net in made} == {"mobilenet_v1", "shufflenet_v2", "mobilenet_v3", "mnasnet"}
    assert {net.resolution for net in made} == {128, 160, 192, 224}
    for choice, expected in [
        ("fusion", {"dense", *radices}),
        ("expand_fusion", {"dense", *radices}),
        ("kernel", {3, 5}),
        ("kind", {"separable", "shuffle", "inverted"}),
    ]:
        assert set().union(*(every_choice(net, choice) for net in made)) == expected
    inverted = [net for net in made if net.family == "mobilenet_v3"]
    squeezes = {bool(squeeze) for net in inverted for squeeze in every_choice(net, "squeeze")}
    assert squeezes == {False, True}
    assert len({len(net.blocks) for net in inverted}) > 3


def test_expansion_and_projection_are_chosen_separately() -> None:
    made = proposals(SearchSpace.load("mobilenet_v3"), 100, 50_000_000)
    pairs = {
        (row["expand_fusion"] == "dense", row["fusion"] == "dense")
        for p in made
        for row in p.architecture.to_dict()["blocks"]
    }
    assert len(pairs) == 4


@pytest.mark.parametrize("name", SPACES)
def test_the_reach_is_reached_and_no_proposal_lies_outside(name: str) -> None:
    space = SearchSpace.load(name)
    reach = space.reach
    rng = random.Random(1)
    for _ in range(60):
        budget = max(reach.smallest, int(10 ** rng.uniform(6.4, 10.5)))
        macs = space.within(budget).sample(rng, budget).macs
        assert reach.smallest <= macs <= reach.largest


@pytest.mark.parametrize("name", ["mobilenet_v1", "shufflenet_v2", "mobilenet_v3", "mnasnet"])
def test_a_budget_just_at_the_smallest_network_is_met(name: str) -> None:
    space = SearchSpace.load(name)
    smallest = space.reach.smallest
    for proposal in proposals(space, 20, smallest):
        assert proposal.macs <= smallest
    with pytest.raises(UserError, match="outside the MAC range"):
        space.within(smallest - 1)


def test_a_family_that_cannot_stay_within_the_budget_is_left_out() -> None:
    space = SearchSpace.load("mobile")
    within = space.within(1_300_000)
    assert [family.name for family in within.families] == ["shufflenet_v2"]


def test_the_size_counts_distinct_suggestions() -> None:
    space = parse(SMALL)
    seen = set()
    rng = random.Random(0)
    for _ in range(4000):
        chosen = space.sample(rng, 20_000_000).parameters
        seen.add(tuple(sorted(chosen.items())))
    assert len(seen) == space.size == 2 * 2 * 2 * 3 * (1 + 2) * 2


def test_the_radix_of_a_dense_fusion_is_not_asked_for() -> None:
    asked: list[str] = []

    def suggest(name: str, values: Sequence[Any]) -> Any:
        asked.append(name)
        return values[0]

    parse(SMALL).propose(suggest, 20_000_000)
    assert not any("radix" in name for name in asked)


def test_a_wider_share_gives_a_network_with_more_macs() -> None:
    def at_share(share: float) -> int:
        def suggest(name: str, values: Sequence[Any]) -> Any:
            return share if name == "budget_share" else values[0]

        return SearchSpace.load("mobilenet_v1").propose(suggest, 50_000_000).macs

    assert at_share(0.5) < at_share(0.8) < at_share(1.0)


HEAVY = """
family: heavy
resolution: 64
width: {min: 0.5, max: 1}
stem: {channels: 16}
stages:
  - {block: inverted, channels: 32, depth: [1, 3], kernel: [3, 5], expansion: [1, 4],
     expand_fusion: butterfly, fusion: butterfly}
  - {block: separable, channels: 32, depth: [1, 3], kernel: [3, 5]}
"""


def test_what_is_too_heavy_gets_small_kernels_then_no_expansion_then_fewer_blocks() -> None:
    space = parse(HEAVY)
    seen: dict[tuple[str, bool, int], None] = {}
    for step in range(400):
        budget = int(space.reach.largest / 1.02**step)
        if budget >= space.reach.smallest:
            net = space.propose(lambda name, values: values[-1], budget).architecture
            rows = net.to_dict()["blocks"]
            expands = any(row["expanded"] > row["channels"] for row in rows)
            seen[str({row["kernel"] for row in rows}), expands, len(rows)] = None
            assert {row["expand_fusion"] for row in rows[1:]} <= {"dense"} or expands
    assert list(seen) == [("{5}", True, 6), ("{3}", True, 6), ("{3}", False, 6), ("{3}", False, 2)]


def test_the_same_seed_proposes_the_same_in_two_processes() -> None:
    code = (
        "import random; from bft_nas.space.space import SearchSpace; r = random.Random(5);"
        "s = SearchSpace.load('mobile');"
        "print([s.sample(r, 50_000_000).architecture.hash for _ in range(30)])"
    )
    outputs = {
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    }
    assert len(outputs) == 1


def test_the_bundled_spaces_are_files_people_can_copy(tmp_path: Path) -> None:
    assert set(bundled_spaces()) >= {"mobile", "mobilenet_v1", "mobilenet_v3", "shufflenet_v2"}
    mine = tmp_path / "mine.yaml"
    mine.write_text((BUNDLED / "mobile.yaml").read_text().replace("[128, 160, 192, 224]", "[96]"))
    assert SearchSpace.load(mine).resolutions == (96,)


def test_a_family_file_beside_the_space_is_found_first(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SMALL)
    (tmp_path / "both.yaml").write_text("family: [tiny, mobilenet_v1]\nresolution: 64\n")
    space = SearchSpace.load(tmp_path / "both.yaml")
    assert [family.name for family in space.families] == ["tiny", "mobilenet_v1"]


@pytest.mark.parametrize("name", SPACES)
def test_the_text_of_a_space_reads_back_as_the_same_space(name: str) -> None:
    space = SearchSpace.load(name)
    again = SearchSpace.parse(space.text, where="run.yaml", name=name, beside=Path("/nowhere"))
    assert again.families == space.families
    assert again.text == space.text
    assert [p.architecture for p in proposals(again, 20, 10**8)] == [
        p.architecture for p in proposals(space, 20, 10**8)
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("stem:", "colour: red\nstem:", "unknown key 'colour'; expected"),
        ("depth: [1, 2]", "depth: []", r"stages\[0\]: depth: empty list"),
        ("depth: [1, 2]", "depth: [1, two]", r"depth: expected a whole number from 1 to 64, got 'two'"),
        ("depth: [1, 2]", "depth: [1, 1]", "depth: expected different values"),
        ("depth: [1, 2]", "depth: 1.5", "depth: expected a whole number"),
        ("depth: [1, 2]", "depth: true", "depth: expected a whole number"),
        ("depth: [1, 2]", "kernel: 4", "kernel: expected an odd number"),
        ("depth: [1, 2]", "expansion: 2", "unknown key 'expansion'"),
        (
            "fusion: butterfly}",
            "fusion: sparse}",
            r"stages\[1\]: fusion: expected dense or butterfly or grouped or low_rank_grouped, got",
        ),
        ("radix: [2, 4]", "radix: 1", "radix: expected a whole number from 2"),
        ("block: separable", "block: magic", f"block: expected {' or '.join(BLOCKS)}"),
        ("block: separable", "block: shuffle, stride: 1", "broken YAML in line 8: key 'stride' stands twice"),
        (
            "block: separable, channels: 32, ",
            "block: separable, ",
            r"stages\[0\]: missing key 'channels'; expected a whole number from 1 to 16384",
        ),
        ("min: 0.25, max: 4", "min: 1", "width: missing key 'max'; expected a number from 0.05 to 20"),
        ("stem: {channels: 16}", "", "missing key 'stem'; expected keys and values"),
        ("stages:", "published:", "missing key 'stages'; expected a list of stages"),
        ("stride: 2", "stride: [1, 2]", "stride: no choice here"),
        ("stem: {channels: 16}", "stem: 16", "stem: expected keys and values, got 16"),
        ("family: tiny", "family: [unknown, unknown]", "neither a bundled space nor a file"),
        ("family: tiny", "family: []", "family: empty list"),
        ("family: tiny", "family: ../../etc/passwd", "family: expected a name"),
        ("min: 0.25", "min: 5", "expected min to be at most max"),
        ("resolution: [32, 64]", "resolution: 4", "resolution: expected a whole number from 8"),
        ("budget_share: [0.5, 1.0]", "budget_share: 1.5", "budget_share: expected a number from 0.05 to 1"),
        ("family: tiny", "family: {", "broken YAML in line"),
        ("family: tiny", "family: !!python/object/apply:os.system [ls]", "broken YAML in line 2"),
        ("channels: 32", "channels: 1:30", "channels: expected a whole number from 1 to 16384, got '1:30'"),
        ("channels: 32", "channels: !!int 1:30", "broken YAML in line 8: expected no tags such as !!int"),
        ("channels: 32", "channels: 017", "channels: expected a whole number from 1 to 16384, got '017'"),
        ("channels: 32", "channels: 0o17", "got '0o17'"),
        ("channels: 32", "channels: 0x10", "got '0x10'"),
        ("channels: 32", "channels: 0b11", "got '0b11'"),
        ("channels: 32", "channels: 1_000", "got '1_000'"),
        ("channels: 32", "channels: 2026-01-01", "got '2026-01-01'"),
        ("min: 0.25", "min: 1:30.5", "min: expected a number from 0.05 to 20, got '1:30.5'"),
        ("min: 0.25", "min: .inf", "min: expected a number from 0.05 to 20, got '.inf'"),
        ("squeeze_excite: [false, true]", "squeeze_excite: yes", "expected true or false, got 'yes'"),
        ("squeeze_excite: [false, true]", "squeeze_excite: [off, on]", "expected true or false, got 'off'"),
    ],
)
def test_a_mistake_is_one_line_that_names_file_key_and_expectation(old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(UserError, match=message) as caught:
        parse(SMALL.replace(old, new, 1))
    assert str(caught.value).startswith("test.yaml")
    assert len(str(caught.value).splitlines()) == 1


# Of 16 channels in the stem and 32 in the stages, at most four times as wide.
STAGES = """
family: few
resolution: 32
width: {min: 0.5, max: 4}
stem: {channels: 16}
"""


@pytest.mark.parametrize(
    ("stages", "key", "most"),
    [
        ("[{block: separable, channels: 32, fusion: [dense, butterfly], radix: [4, NUMBER]}]", "radix", 64),
        ("[{block: separable, channels: 32, depth: [1, 2], fusion: butterfly, radix: NUMBER}]", "radix", 128),
        ("[{block: shuffle, channels: 16, fusion: low_rank_grouped, narrowing: NUMBER}]", "narrowing", 32),
        ("[{block: inverted, channels: 8, expansion: 2, fusion: grouped, groups: NUMBER}]", "groups", 32),
        (
            "[{block: inverted, channels: 8, expansion: 1.5, expand_fusion: butterfly, expand_radix: NUMBER}]",
            "expand_radix",
            64,
        ),
        (
            "[{block: ghost, channels: 32, expansion: 1, expand_fusion: butterfly, expand_radix: NUMBER}]",
            "expand_radix",
            32,
        ),
    ],
)
def test_a_fusion_wider_than_any_layer_of_its_stage_is_a_mistake(
    stages: str, key: str, most: int, tmp_path: Path
) -> None:
    path = tmp_path / "few.yaml"

    def load(number: int) -> SearchSpace:
        path.write_text(f"{STAGES}stages: {stages.replace('NUMBER', str(number))}\n")
        return SearchSpace.load(path)

    assert load(most).reach.smallest > 0
    message = (
        rf"few\.yaml: stages\[0\]: {key}: expected {most} or less, the channels of its widest layer, got"
    )
    with pytest.raises(UserError, match=message):
        load(most + 4)
    # What was searched before is read back as it was.
    assert parse(path.read_text()).families


@pytest.mark.parametrize(
    ("key", "values"),
    [("fusion", "[dense, butterfly]"), ("radix", "8"), ("groups", "4"), ("width", "[1.0, 2.0]")],
)
def test_a_choice_for_a_layer_that_the_head_has_not_is_a_mistake(
    key: str, values: str, tmp_path: Path
) -> None:
    path = tmp_path / "few.yaml"
    path.write_text(
        f"{STAGES}stages: [{{block: separable, channels: 8}}]\nhead: {{hidden: 64, {key}: {values}}}\n"
    )
    message = rf"few\.yaml: head: {key}: expected channels of 1 or more beside it, got 0"
    with pytest.raises(UserError, match=message):
        SearchSpace.load(path)
    # What was searched before is read back as it was, and nothing is asked for in vain.
    space = parse(path.read_text())
    assert (space.size, space.sample(random.Random(0), 10**9).parameters) == (1, {})


def test_groups_that_no_width_has_are_a_mistake() -> None:
    stages = "stages: [{block: separable, channels: 32, fusion: grouped, groups: 7}]"
    with pytest.raises(
        UserError, match=r"groups: expected a whole number .* product of 2, 3 and 5, as widths"
    ):
        parse(f"{STAGES}{stages}")


@pytest.mark.parametrize(
    ("name", "least"), [("mobile", 17), ("mobilenet_v1", 17), ("modern", 17), ("tiny", 8)]
)
def test_a_space_does_not_halve_single_pixels(name: str, least: int) -> None:
    assert SearchSpace.load(name, resolutions=(224, least)).resolutions == (224, least)
    if least > 8:
        message = (
            rf"halves images 5 times; expected {least} pixels or more, or a space .* tiny, got {least - 1}"
        )
        with pytest.raises(UserError, match=message):
            SearchSpace.load(name, resolutions=(224, least - 1))


def test_a_range_of_a_single_network_is_told_to_the_last_mac() -> None:
    space = parse(f"{STAGES.replace('min: 0.5', 'min: 4')}stages: [{{block: separable, channels: 8}}]")
    (macs,) = {space.reach.smallest, space.reach.largest}
    with pytest.raises(UserError, match=f"expected {macs} to {macs}"):
        space.within(macs - 1)
    assert space.within(macs).sample(random.Random(0), macs).macs == macs


@pytest.mark.parametrize("name", ["on", "yes", "no", "y"])
def test_a_name_that_older_yaml_takes_for_a_truth_is_a_name(name: str) -> None:
    space = parse(SMALL.replace("family: tiny", f"family: {name}"))
    assert [family.name for family in space.families] == [name]
    assert parse(space.text).families == space.families


@given(
    st.sampled_from(["radix: [2, 4]", "min: 0.25", "stride: 2"]),
    st.from_regex(r"[-+]?[0-9][0-9_:.eExob]{0,6}", fullmatch=True),
)
def test_a_number_is_what_is_written_or_refused(old: str, written: str) -> None:
    key = old.partition(":")[0]
    try:
        space = parse(SMALL.replace(old, f"{key}: {written}", 1))
    except UserError:
        return
    family = space.families[0]
    read = {
        "radix": family.stages[0].choices["radix"],
        "min": (family.width_min,),
        "stride": (family.stages[0].stride,),
    }[key]
    assert read == (float(written),)
    assert str(read[0]).lstrip("+") == written.lstrip("+") or key == "min"


def test_a_value_that_repeats_itself_is_refused_in_a_moment() -> None:
    nested = "[x]"
    for level in range(30):
        nested = f"[&a{level} {nested}, {', '.join([f'*a{level}'] * 8)}]"
    with pytest.raises(UserError, match=r"stages\[0\]: depth: expected a whole number") as caught:
        parse(SMALL.replace("depth: [1, 2]", f"depth: {nested}"))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["nowhere", "nowhere.yaml", "a/b", ""])
def test_an_unknown_space_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UserError, match=", ".join(bundled_spaces())):
        SearchSpace.load(name)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "photo.yaml"
    path.write_bytes(b"\xff\xd8\xff\xe0 not text \x00")
    with pytest.raises(UserError, match=r"photo\.yaml: cannot be read as text"):
        SearchSpace.load(path)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
anything = st.recursive(
    scalars, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=8), x, max_size=3)
)
fuzz = settings(max_examples=200)


@fuzz
@given(st.data())
def test_any_value_under_any_key_is_a_space_or_one_line(data: st.DataObject) -> None:
    content = yaml.safe_load(SMALL)
    place = data.draw(st.sampled_from([content, content["stem"], content["width"], *content["stages"]]))
    key = data.draw(st.sampled_from(sorted(place)) | st.text(max_size=8))
    place[key] = data.draw(anything)
    try:
        space = parse(yaml.safe_dump(content))
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        budget = space.reach.smallest * 2
        assert space.sample(random.Random(0), budget).macs <= budget


@fuzz
@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_a_space_or_one_line(text: str) -> None:
    for candidate in (text, SMALL + text, text + SMALL):
        try:
            parse(candidate)
        except UserError as error:
            assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    ["&a [*a]", "a: &a {b: *a}", "[" * 3000, "2026-99-99", "? {a: 1}\n: 2", "!!binary x", "&a family: *a"],
)
def test_yaml_with_teeth(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text)
    assert len(str(caught.value).splitlines()) == 1
