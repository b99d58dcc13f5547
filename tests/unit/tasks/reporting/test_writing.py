"""A report tells every finding once, in sections, and keeps only what the reader accepts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft7Validator

from medvlsam2.data.fact_table import FactTable
from medvlsam2.data.language.chat import ReportStyle
from medvlsam2.data.language.grounded import Draft, imagined_facts
from medvlsam2.data.language.grounded.patterns import STYLES
from medvlsam2.data.language.grounded.plans import Line
from medvlsam2.data.phantom import Phantom
from medvlsam2.tasks.converse import report
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.records.to_json import schema, to_json
from medvlsam2.tasks.reporting.choosing import FirstLines, ModelChooser, grammar_of
from medvlsam2.tasks.reporting.reader import Reader
from medvlsam2.tasks.reporting.writing import checked, write_report


class AnyLine:
    """Chooses by chance, as a model without training does."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def choose(self, lines: Sequence[str]) -> str:
        return lines[int(self._rng.integers(len(lines)))]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_chosen_every_finding_is_told_and_nothing_is_removed(seed: int, style: ReportStyle) -> None:
    table = imagined_facts(np.random.default_rng(seed))
    written = write_report(Draft(table, style), AnyLine(seed))
    assert written.removed == ()
    told = {fact_id for one in written.told if one.section == "findings" for fact_id in one.fact_ids}
    findings = {fact.id for fact in table if fact.is_present and fact.kind == "finding"}
    assert findings <= told
    assert findings <= {fact_id for one in written.told if one.section == "impression" for fact_id in one.fact_ids}


def test_sections_stand_in_their_order() -> None:
    table = imagined_facts(np.random.default_rng(3))
    text = write_report(Draft(table, "narrative"), FirstLines()).text(by_line=False)
    assert [line.partition(":")[0] for line in text.splitlines()] == ["Technique", "Findings", "Impression"]


def test_a_sentence_that_no_fact_supports_is_removed_with_the_reason() -> None:
    table = imagined_facts(np.random.default_rng(3))
    draft = Draft(table, "narrative")
    write_report(draft, FirstLines())
    lines = [*draft.lines[:3], Line("There is a 99 mm hepatic cyst.", "findings"), *draft.lines[3:]]
    written = checked(lines, Reader(table))
    assert [one.text for one in written.removed] == ["There is a 99 mm hepatic cyst."]
    assert written.removed[0].reason == "The facts hold no such finding."
    assert "99 mm" not in written.text(by_line=False)


def test_the_impression_may_only_repeat_findings() -> None:
    table = imagined_facts(np.random.default_rng(3))
    draft = Draft(table, "narrative")
    write_report(draft, FirstLines())
    (first, *_) = [line for line in draft.lines if line.section == "findings" and line.topic is not None]
    repeated = [line for line in draft.lines if line is not first]
    (removed,) = checked(repeated, Reader(table)).removed
    assert removed.reason == "The findings of this report do not hold it."


def test_a_model_writes_one_of_the_lines(tiny_model_dir: Path) -> None:
    loaded = Engine(tiny_model_dir).loaded()
    lines = ["Splenomegaly, 147 mm.", 'The "spleen" (12 × 9 mm) is enlarged.', "Spleen enlarged, 147 mm long."]
    ids = loaded.tokenizer("Report", return_tensors="pt")["input_ids"][0]
    page = loaded.page(loaded.model.language.prefill(ids[:1], None), ids)
    chosen = [ModelChooser(page).choose(lines[:count]) for count in (3, 2, 1)]
    assert set(chosen) <= set(lines)
    assert chosen[2] == lines[0], "a line that is alone is forced"
    assert page.write(grammar_of(lines[:1]), max_new_tokens=64, keep=False).text == f"{lines[0]}\n"


@pytest.mark.parametrize("style", STYLES)
def test_a_report_of_given_facts_names_the_facts_of_each_sentence(
    tiny_model_dir: Path, small_phantom: Phantom, style: ReportStyle
) -> None:
    table: FactTable = imagined_facts(np.random.default_rng(2))
    found = report(Engine(tiny_model_dir), small_phantom.volume, facts=table, style=style)
    assert found.grounded
    assert found.style == style
    assert all(one.fact_ids and set(one.fact_ids) <= table.by_id.keys() for one in found.sentences)
    assert {fact.state for fact in found.not_assessed} <= {"not assessed", "outside the field of view"}
    assert any(one.measured for one in found.sentences)
    record = to_json(found, model_id="tiny", model_version="base")
    Draft7Validator(schema()).validate(record)
    assert [one["text"] for one in record["sentences"]] == [one["sentence"] for one in record["findings"]]
    assert record["facts"] == table.to_json()
