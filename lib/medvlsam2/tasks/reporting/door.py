"""The door for reports: from the facts of a scan to a draft report in which every sentence names its facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from medvlsam2.data.fact_table import Fact, FactTable
from medvlsam2.data.language import chat
from medvlsam2.data.language.chat import ReportStyle
from medvlsam2.data.language.clinical import split_sentences, structures_in
from medvlsam2.data.language.grounded import Draft, Prior
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.asking.job import Clock
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.facts import facts_of
from medvlsam2.tasks.free_words import generate
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.places import PlaceRAS
from medvlsam2.tasks.reporting.choosing import Chooser, model_chooser
from medvlsam2.tasks.reporting.evidence import Measurement, measured_in, place_of, slices_of, structures_of
from medvlsam2.tasks.reporting.writing import Removed, WrittenReport, write_report

REPORT_TOKENS: Final = 256
UNPROVED: Final = "Nothing that was measured proves this report: the model wrote it in its own words."
UNSEEN: Final = "outside the field of view"


@dataclass(frozen=True)
class ReportSentence:
    """One sentence of a report."""

    sentence: str
    structures: tuple[str, ...]
    """Vocabulary keys of the structures that the sentence is about; their names can be prompts for masks."""
    place_ras: PlaceRAS | None = None
    """Where in the scan that is, in RAS mm; None where nothing that it is about is seen."""
    fact_ids: tuple[str, ...] = ()
    """Facts that prove it; none in a report of the model's own words."""
    slices: tuple[int, int] | None = None
    """First and last slice of what it is about, counted from 0 along the scan's own slice axis."""
    measured: tuple[Measurement, ...] = ()
    """Numbers of the sentence, each with the fact that it was measured of."""


@dataclass(frozen=True)
class Report:
    """A draft report; for a radiologist to correct, not to sign."""

    text: str
    sentences: tuple[ReportSentence, ...]
    warnings: tuple[str, ...]
    latencies_s: dict[str, float]
    style: ReportStyle = "narrative"
    grounded: bool = False
    """Whether every sentence follows from facts of the scan; False: these are the model's own words."""
    facts: FactTable = field(default_factory=lambda: FactTable(()))
    removed: tuple[Removed, ...] = ()
    """Sentences that were left out because the facts do not support them, with the reasons."""
    prior_date: str | None = None
    """Date of the earlier scan that this one is compared with."""

    @property
    def unproved(self) -> tuple[str, ...]:
        """The warning that nothing proves the report; none for a grounded one."""
        return tuple(warning for warning in self.warnings if warning == UNPROVED)

    @property
    def not_assessed(self) -> tuple[Fact, ...]:
        """What the report says nothing of: not assessed, or outside the field of view."""
        return tuple(fact for fact in self.facts if fact.state in ("not assessed", UNSEEN))


def report(
    engine: Engine,
    volume: CTVolume,
    *,
    style: ReportStyle = "narrative",
    grounded: bool = True,
    facts: Facts | FactTable | None = None,
    prior: Prior | None = None,
    chooser: Chooser | None = None,
    max_new_tokens: int = REPORT_TOKENS,
) -> Report:
    """Write a draft report.

    A grounded report is made of sentences that code filled with facts. The model chooses the facts that are told
    besides the findings, the order and the words. Whoever asks must not hold the device.

    Args:
        engine: the model.
        volume: the scan.
        style: narrative, structured or terse.
        grounded: False: the model writes in its own words from the image, as in the paper, and nothing proves them.
        facts: of the scan; None: those of the masks that the engine's model finds.
        prior: facts of an earlier scan of the same patient, with both dates.
        chooser: chooses the sentences; None: the engine's model.
        max_new_tokens: the longest report of the model's own words, in tokens.

    Raises:
        Cancelled: if the work is no longer wanted.
    """
    watch = Clock()
    if not grounded:
        return _in_own_words(engine, volume, style, max_new_tokens, watch)
    table = facts if isinstance(facts, FactTable) else (facts or facts_of(engine, volume)).everything()
    watch.lap("measure")
    draft = Draft(table, style, prior)
    if chooser is None:
        with model_chooser(engine, draft.prompt) as model:
            written = write_report(draft, model)
    else:
        written = write_report(draft, chooser)
    watch.lap("write")
    return Report(
        written.text(by_line=style == "structured"),
        tuple(_sentences(written, table)),
        volume.warnings,
        watch.total(),
        style,
        grounded=True,
        facts=table,
        removed=written.removed,
        prior_date=None if prior is None else prior.date,
    )


def _sentences(written: WrittenReport, table: FactTable) -> Iterator[ReportSentence]:
    for told in written.told:
        facts: Sequence[Fact] = [table.by_id[fact_id] for fact_id in told.fact_ids]
        yield ReportSentence(
            told.text,
            structures_of(facts),
            place_of(facts, table),
            told.fact_ids,
            slices_of(facts, table),
            measured_in(told.text, facts),
        )


def _in_own_words(engine: Engine, volume: CTVolume, style: ReportStyle, max_new_tokens: int, watch: Clock) -> Report:
    with engine.requests.one(), engine.lease():
        session = engine.session(volume)
        text = generate(engine, session, chat.report_question(style), max_new_tokens)
        sentences = tuple(
            ReportSentence(sentence, structures_in(sentence), session.place_of(sentence, engine.device_lock.give_way))
            for sentence in split_sentences(text)
        )
    return Report(text, sentences, (*volume.warnings, UNPROVED), watch.total(), style)
