"""Phrases of a request are composed from given masks; names, clicks and refused phrases go the way that they went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from medvlsam2.data.phantom import Phantom
from medvlsam2.errors import InvalidPrompt
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.measure.candidates.detecting import BY_SEARCH, Detecting
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.sources.given_masks import GivenMasks
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import Segmentation, segment


@dataclass
class Told:
    """A writer that tells one text, and notes what it was asked."""

    text: str
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def write(self, phrase: str, keys: Sequence[str]) -> str:
        self.asked.append((phrase, tuple(keys)))
        return self.text


@pytest.fixture(scope="module")
def facts(small_phantom: Phantom) -> Facts:
    """Facts of the phantom's own label map."""
    one = small_phantom
    truth = {key: one.label_map == value for value, key in one.labels.items()}
    return Facts(GivenMasks.of_truth(one.volume, truth, one.facts, one.lesion_map))


@pytest.fixture(scope="module")
def engine(tiny_model_dir: Path) -> Engine:
    return Engine(tiny_model_dir)


def asked(engine: Engine, facts: Facts, *phrases: str, writer: Told | None = None) -> Segmentation:
    return segment(engine, facts.volume, [ObjectPrompt(one) for one in phrases], facts=facts, writer=writer)


def truth(facts: Facts, key: str) -> np.ndarray:
    return facts.mask(facts.structure(key))


def test_the_larger_kidney_is_the_mask_of_that_kidney(engine: Engine, facts: Facts):
    left, right = facts.structures(("kidney_left", "kidney_right"))
    larger = max((left, right), key=lambda fact: fact.volume_ml or 0)
    found = asked(engine, facts, "the larger kidney")
    (result,) = found.objects
    assert ((found.label_map == 1) == truth(facts, larger.key)).all()
    assert result.volume_ml == pytest.approx(larger.volume_ml)
    assert (result.name, result.present, result.values) == ("the larger kidney", True, (1,))
    assert (result.expression, result.understood_as) == ("largest kidneys", f"the largest kidney: {larger.name}")
    assert f"'the larger kidney' was understood as the largest kidney: {larger.name}." in found.warnings


def test_a_pair_by_name_is_the_mask_that_its_fact_measures(engine: Engine, facts: Facts):
    found = asked(engine, facts, "kidneys")
    (result,) = found.objects
    assert ((found.label_map == 1) == truth(facts, "kidneys")).all()
    assert result.volume_ml == pytest.approx(facts.structure("kidneys").volume_ml)
    assert (result.name, result.expression) == ("kidneys", "kidneys")


def test_a_finding_that_the_model_does_not_know_is_marked_where_a_search_finds_it(engine: Engine, facts: Facts):
    hu, liver = facts.volume.hu.copy(), facts.structure("liver")
    middle = np.array(np.nonzero(truth(facts, "liver"))).mean(axis=1)
    away_mm = (np.indices(hu.shape).reshape(3, -1).T - middle) * facts.volume.spacing_mm
    cyst = (np.linalg.norm(away_mm, axis=1) <= 18).reshape(hu.shape)
    near = (np.linalg.norm(away_mm, axis=1) <= 36).reshape(hu.shape)
    hu[truth(facts, "liver") | near], hu[cyst] = 120, 6
    volume = replace(facts.volume, hu=hu)
    inner = GivenMasks(volume, {"liver": facts.kept_mask(liver)})
    found = asked(engine, Facts(Detecting(inner)), "liver cyst")
    (result,) = found.objects
    assert result.present
    assert (found.label_map[cyst] == 1).mean() > 0.8
    assert any(BY_SEARCH in warning for warning in found.warnings)


def test_the_smaller_object_is_a_part_of_the_larger_one(engine: Engine, facts: Facts):
    whole, part = asked(engine, facts, "liver and spleen without heart", "upper third of liver").objects
    assert (whole.values, part.values) == ((1, 2), (2,))
    both = (facts.structure("liver").volume_ml or 0) + (facts.structure("spleen").volume_ml or 0)
    assert whole.volume_ml == pytest.approx(both)


def test_a_range_of_vertebrae_is_one_object(engine: Engine, facts: Facts):
    found = asked(engine, facts, "L1 to L2")
    (result,) = found.objects
    assert result.expression == "L1 vertebra and L2 vertebra"
    assert ((found.label_map == 1) == (truth(facts, "vertebrae_L1") | truth(facts, "vertebrae_L2"))).all()


def test_names_and_phrases_stand_side_by_side(engine: Engine, facts: Facts):
    alone = segment(engine, facts.volume, [ObjectPrompt("spleen")])
    found = asked(engine, facts, "the smaller kidney", "spleen")
    assert [one.name for one in found.objects] == ["the smaller kidney", "spleen"]
    assert found.objects[1].understood_as is None
    free = found.label_map != 1
    assert (found.label_map == 1).any()
    assert ((found.label_map == 2)[free] == (alone.label_map == 1)[free]).all()


def test_what_is_not_there_says_why(engine: Engine, facts: Facts):
    found = asked(engine, facts, "liver cysts larger than 900 mm")
    (result,) = found.objects
    assert not found.label_map.any()
    assert not result.present
    assert result.reason.startswith("No liver cyst is")
    assert any(result.reason in warning for warning in found.warnings)


def test_a_model_reads_what_no_rule_reads(engine: Engine, facts: Facts):
    writer = Told("largest kidneys")
    found = asked(engine, facts, "whichever kidney takes up the bigger volume", writer=writer)
    assert found.objects[0].expression == "largest kidneys"
    assert writer.asked == [
        ("whichever kidney takes up the bigger volume", ("kidneys", "kidney_left", "kidney_right")),
    ]
    assert any("words 'whichever', 'takes', 'volume' were not used" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("phrase", "written", "why"),
    [
        ("whichever left kidney bulges", "right kidney", "leaves out 'left kidney'"),
        ("the kidney that bulges on the left", "kidneys", "leaves out"),
        ("whichever kidney bulges above the liver", "kidneys below liver", "turns 'up' round"),
        ("a liver cyst that bulges over 2 cm", "liver cyst larger than 30 mm", "number 20 mm"),
        ("the spleen that bulges near the liver", "spleen", "leaves out 'liver'"),
        ("lungs that bulge without the heart", "lungs", "leaves out 'heart'"),
        ("the bulge between kidney and liver", "kidneys nearest to liver", "cannot say 'between'"),
        ("whichever kidney bulges", "largest largest", "was not understood"),
    ],
)
def test_a_reading_that_does_not_agree_is_refused(engine: Engine, facts: Facts, phrase: str, written: str, why: str):
    with pytest.raises(InvalidPrompt, match=why):
        asked(engine, facts, phrase, writer=Told(written))


@pytest.mark.parametrize("phrase", ["left kidney", "Kidney_L", "the liver", "liver_1"])
def test_names_are_never_read(engine: Engine, facts: Facts, phrase: str):
    writer = Told("spleen")
    found = asked(engine, facts, phrase, writer=writer)
    assert writer.asked == []
    assert found.objects[0].understood_as is None


@pytest.mark.parametrize(
    ("phrase", "name"), [("wind pipe", "the trachea"), ("gallblader", "the gallbladder"), ("livr", "the liver")]
)
def test_lay_words_and_typing_errors_are_told(engine: Engine, facts: Facts, phrase: str, name: str):
    found = asked(engine, facts, phrase)
    plain = asked(engine, facts, name.removeprefix("the "))
    assert (found.objects[0].name, found.objects[0].understood_as) == (phrase, name)
    assert (found.label_map == plain.label_map).all()
    assert f"'{phrase}' was understood as {name}." in found.warnings


@pytest.mark.parametrize("phrase", ["lefft kidney", "the kidney on the left of the screen", "left lung and kidney"])
def test_what_was_refused_for_its_sides_still_is(engine: Engine, facts: Facts, phrase: str):
    writer = Told("left kidney")
    with pytest.raises(InvalidPrompt):
        asked(engine, facts, phrase, writer=writer)
    assert writer.asked == []


def test_clicks_keep_their_way(engine: Engine, facts: Facts):
    i, j, k = (n / 2 for n in facts.volume.shape_ijk)
    writer = Told("largest kidneys")
    prompt = ObjectPrompt("the larger kidney", points_ijk=((i, j, k),), point_labels=(1,))
    found = segment(engine, facts.volume, [prompt], facts=facts, writer=writer)
    assert found.objects[0].expression is None
