"""What kind of scan it is: its contrast phase and the part of the body that it shows."""

from __future__ import annotations

from typing import Final

from medvlsam2.data.facts import Region
from medvlsam2.data.language import anatomy
from medvlsam2.tasks.measure.rules.needs import need, worse
from medvlsam2.tasks.measure.rules.rule import Known, Measured, NotAssessed, Rule


def contrast_phase(rule: Rule, facts: Known) -> Measured:
    """The contrast phase, from the mean HU of the aorta, or of the heart where the aorta is not seen.

    The blood has the density of tissue without contrast, is brightest in the arterial phase, and then fades. The
    limits stand in the table.
    """
    refused: NotAssessed | None = None
    for key in rule.of:
        try:
            blood = need(key, rule, facts, whole=False)
        except NotAssessed as reason:
            refused = worse(refused, reason)
            continue
        assert blood.mean_hu is not None
        if blood.mean_hu < rule.limits["blood_from_hu"]:
            refused = worse(refused, NotAssessed(f"The mask of the {blood.name} does not hold blood alone."))
            continue
        return Measured(
            value=blood.mean_hu,
            evidence=(blood.id,),
            label=_phase(blood.mean_hu, rule),
            structure=blood.key,
            is_true=True,
        )
    assert refused is not None
    raise refused


def _phase(blood_hu: float, rule: Rule) -> str:
    limits = rule.limits
    if blood_hu < limits["enhanced_from_hu"]:
        return "non-contrast"
    if blood_hu >= limits["arterial_from_hu"]:
        return "arterial"
    return "portal venous" if blood_hu >= limits["portal_venous_from_hu"] else "delayed"


def body_region(rule: Rule, facts: Known) -> Measured:
    """The part of the body, which is the one that explains best which structures are seen.

    What the ends of the scan show of other parts, such as the upper chest below a neck, is told in a sentence.
    """
    region = facts.region()
    if region is None:
        raise NotAssessed("No structure is seen that tells which part of the body this is.")
    beside, keys = _BESIDE.get(region, ("", ()))
    note = f"The scan also shows the {beside}." if any(_reaches_in(key, rule, facts) for key in keys) else ""
    return Measured(value=None, evidence=(), label=anatomy.REGION_NAMES[region], is_true=True, note=note)


_LUNGS: Final = ("lung_left", "lung_right")
_BESIDE: Final[dict[Region, tuple[str, tuple[str, ...]]]] = {
    "head and neck": ("upper chest", _LUNGS),
    "chest": ("upper abdomen", ("liver", "spleen")),
    "abdomen": ("lower chest", _LUNGS),
    "abdomen and pelvis": ("lower chest", _LUNGS),
}
"""What a scan of each region often goes on into, with the organs that show it."""


def _reaches_in(key: str, rule: Rule, facts: Known) -> bool:
    """Whether an organ beside the region is seen over some height."""
    if not facts.tells(key) or not facts.may_show(key):
        return False
    fact = facts.structure(key)
    return fact.is_present and (fact.height_mm or 0.0) >= rule.limits["beside_mm"]
