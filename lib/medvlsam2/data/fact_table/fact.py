"""One fact of a scan: a structure, one lesion of a finding, or what a rule says of measurements."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from medvlsam2.data.structures.table import Code, Side

FactState = Literal["present", "absent", "outside the field of view", "not assessed"]
"""What is known of a thing.

* present: there is a mask of it, or the rule's threshold is passed.
* absent: it was looked for where it would lie, and it is not there; or the rule's threshold is not passed.
* outside the field of view: the scan does not show the place where it would lie.
* not assessed: nothing is known. The model does not know it, its mask is unsure, or what a rule needs is missing.
"""
FactKind = Literal["structure", "finding", "rule"]

_DECIMALS: Final = {
    "volume_ml": 3,
    "longest_mm": 1,
    "short_axis_mm": 1,
    "length_mm": 1,
    "height_mm": 1,
    "mean_hu": 1,
    "sd_hu": 1,
    "confidence": 4,
    "value": 3,
}
"""Decimals of numbers in JSON. Volumes and diameters have as many as those of a segmentation's objects."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What is known of one thing in one scan.

    A field is None where it does not apply or was not measured. Millimetres and millilitres are those of the scan's own
    voxels.
    """

    id: str
    """Stable name of the fact, made of its key alone: "liver", "kidney_cyst_left.2" (the second largest), "phase"."""
    key: str
    """Vocabulary key of a structure or finding, or the rule's key in ``finding_rules.yaml``."""
    kind: FactKind
    name: str
    """Name that people read, e.g. "left kidney"."""
    code: Code | None = None
    """SNOMED CT code; None for rules that have none, such as the contrast phase."""
    state: FactState
    reason: str = ""
    """One sentence: why it is not assessed or lies outside, or what limits a fact that is present."""
    structure: str | None = None
    """Vocabulary key of the structure that holds a finding, or that a rule is about."""
    side: Side | None = None
    """Side of the patient."""
    in_view: bool = False
    """Of a structure without a reliable mask: whether the scan surely shows it, as everybody has it and its place on
    the body lies within the scan. Nothing of it is measured."""
    cut: bool = False
    """Whether the mask reaches an end of the scan, so that its volume and lengths are not those of the whole thing."""
    volume_ml: float | None = None
    longest_mm: float | None = None
    """Longest diameter on one slice (RECIST 1.1), as ``segment`` tells it."""
    short_axis_mm: float | None = None
    """Widest extent perpendicular to the longest diameter, on the same slice."""
    length_mm: float | None = None
    """Longest distance within the thing in three dimensions, e.g. the length of a spleen."""
    height_mm: float | None = None
    """Extent across the slices: number of slices from the first to the last, times their distance."""
    mean_hu: float | None = None
    """Mean HU inside. Where the mask is thick enough, its outermost voxels are left out (``hu_inside``)."""
    sd_hu: float | None = None
    """Standard deviation of the same HU."""
    hu_inside: bool = False
    """Whether the HU are those of the mask without its outermost voxels."""
    slices: tuple[int, int] | None = None
    """First and last slice, as indices along the scan's own slice axis from 0, both inside."""
    centre_ras: tuple[float, float, float] | None = None
    """The voxel of the mask nearest to its middle, RAS+ mm."""
    pieces: int | None = None
    """Connected parts of the mask."""
    confidence: float | None = None
    """0..1, how often a statement as sure as this one (present, or absent) was right."""
    mask: str | None = None
    """Id of the mask that everything was measured on (``Facts.mask``); None without a mask."""
    value: float | None = None
    """What a rule measured; None where it is a word."""
    is_at_least: bool = False
    """Whether the scan's end cuts what was measured, so that the whole thing measures ``value`` or more."""
    unit: str = ""
    """Unit of ``value`` and ``threshold``: "mm", "mL", "HU", "%", "cm2" or "" for a ratio."""
    threshold: float | None = None
    """What the rule compares ``value`` with."""
    label: str = ""
    """What a rule says in a word or a few: "portal venous", "abdomen", "mild"."""
    source: str = ""
    """Where a rule's threshold comes from: guideline or paper with its year."""
    evidence: tuple[str, ...] = ()
    """Ids of the facts that a rule was computed from."""

    @property
    def is_present(self) -> bool:
        """Whether its state is "present"."""
        return self.state == "present"

    @property
    def is_known(self) -> bool:
        """Whether it may be called present or absent: it was assessed."""
        return self.state in ("present", "absent")

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary with rounded numbers; fields that are None, empty or False are left out."""
        return {
            name: _rounded(name, value)
            for name, value in asdict(self).items()
            if value is not None and value is not False and value not in ("", ())
        }


def _rounded(name: str, value: Any) -> Any:
    if isinstance(value, tuple):
        return [round(part, 1) if isinstance(part, float) else part for part in value]
    return round(value, _DECIMALS[name]) if name in _DECIMALS else value
