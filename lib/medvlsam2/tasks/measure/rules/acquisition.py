"""What kind of scan it is: its contrast phase and the part of the body that it shows."""

from __future__ import annotations

from typing import Final

from medvlsam2.data.fact_table import Fact
from medvlsam2.data.facts import Region
from medvlsam2.data.language import anatomy
from medvlsam2.tasks.measure.rules.needs import need, worse
from medvlsam2.tasks.measure.rules.rule import Known, Measured, NotAssessed, Rule

VEINS: Final = ("inferior_vena_cava", "iliac_vena_left", "iliac_vena_right")
KIDNEYS: Final = ("kidney_left", "kidney_right")


def contrast_phase(rule: Rule, facts: Known) -> Measured:
    """The contrast phase, from the mean HU of the first vessel or organ of the rule that is seen and tells it.

    The blood of the aorta, the heart and other arteries has the density of tissue without contrast, is brightest in the
    arterial phase, and then fades. A bright vein tells that the arterial phase is over; a dark vein tells nothing. A
    dark kidney tells that there is no contrast, as kidneys enhance from the arterial phase on. The limits stand in the
    table.
    """
    refused: NotAssessed | None = None
    for key in rule.of:
        try:
            seen = need(key, rule, facts, whole=False)
            label = _label(seen, rule)
        except NotAssessed as reason:
            refused = worse(refused, reason)
            continue
        return Measured(value=seen.mean_hu, evidence=(seen.id,), label=label, structure=seen.key, is_true=True)
    assert refused is not None
    raise refused


def _label(seen: Fact, rule: Rule) -> str:
    """The phase that one vessel or kidney tells.

    Raises:
        NotAssessed: if it does not tell one.
    """
    hu = seen.mean_hu
    assert hu is not None
    if hu < rule.limits["blood_from_hu"]:
        raise NotAssessed(f"The mask of the {seen.name} does not hold blood alone.")
    if seen.key in KIDNEYS:
        if hu >= rule.limits["kidney_enhanced_from_hu"]:
            raise NotAssessed(f"The {seen.name} tells that there is contrast, but not in which phase.")
        return "non-contrast"
    label = _phase(hu, rule)
    if seen.key in VEINS and label == "non-contrast":
        raise NotAssessed(f"The {seen.name} alone does not tell the contrast phase.")
    return "portal venous" if seen.key in VEINS and label == "arterial" else label


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
