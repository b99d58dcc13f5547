"""The facts of a rule's parts: of each stone in each kidney, of each vertebra, of each lung."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from medvlsam2.data import vocabulary
from medvlsam2.data.fact_table import Fact
from medvlsam2.data.language import anatomy
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.rules.rule import NotAssessed, OutOfView, Part


def part_facts(whole: Fact, part: Part) -> Iterator[tuple[Fact, KeptMask | None]]:
    """The facts of one part with masks of their own: one for each thing that is counted in it, else one.

    Ids are made of the rule's key and the structure: "kidney_stone_left.1" (the largest one), "emphysema_right",
    "vertebral_fracture_T12".

    Args:
        whole: the fact of the rule.
        part: of the rule.
    """
    side = anatomy.side(part.structure)
    fact = replace(
        whole,
        id=whole.id + _suffix(part.structure),
        name=f"{side} {whole.name}" if side is not None and whole.key in vocabulary.STRUCTURES else whole.name,
        structure=part.structure,
        side=side,
        state="present" if part.is_true else "absent",
        reason=part.note,
        value=part.value,
        label=part.label,
        evidence=(part.structure,),
    )
    if part.refused is not None:
        yield replace(fact, state=part.refused.state, reason=str(part.refused), value=None), None
    elif not part.spots:
        yield fact, None
    for number, spot in enumerate(part.spots, start=1):
        counted = replace(fact, id=f"{fact.id}.{number}", kind="finding", value=None, unit="", threshold=None)
        yield counted, spot.mask


def refusal(parts: Sequence[Part]) -> NotAssessed | None:
    """Why a rule says nothing of all of its parts together; None if each is assessed, or something is found."""
    refused = [part.refused for part in parts if part.refused is not None]
    if not refused or any(part.is_true for part in parts):
        return None
    in_view = [reason for reason in refused if not isinstance(reason, OutOfView)]
    if in_view:
        return in_view[0]
    return refused[0] if len(refused) == len(parts) else NotAssessed(str(refused[0]))


def limits(parts: Sequence[Part]) -> str:
    """Sentences about the parts that are not assessed, or not as a whole."""
    told = (part.note if part.refused is None else str(part.refused) for part in parts)
    return " ".join(dict.fromkeys(sentence for sentence in told if sentence))


def place_of(parts: Sequence[Part]) -> str | None:
    """The structure that holds all that was found: the pair where both sides do; None if nothing was found."""
    found = [part.structure for part in parts if part.is_true]
    return anatomy.pair(found[0]) if len(found) > 1 else next(iter(found), None)


def _suffix(structure: str) -> str:
    known = vocabulary.STRUCTURES[structure]
    if known.side is not None:
        return f"_{known.side}"
    return f"_{structure.removeprefix('vertebrae_')}" if structure.startswith("vertebrae_") else ""
