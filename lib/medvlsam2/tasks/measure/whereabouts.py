"""Whether a scan shows the place where a structure or finding would lie: what it does not show is not absent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from medvlsam2.data import vocabulary
from medvlsam2.data.facts import Region
from medvlsam2.data.language import anatomy
from medvlsam2.data.volume import CTVolume
from medvlsam2.tasks.measure.body_axis import ScanRange, in_every_body
from medvlsam2.tasks.measure.masks.mask_measures import slice_axis

MIN_HEIGHT_MM: Final = 150.0
"""A lower scan shows only a part of its region: of TS_dicom20 (40 mm) both kidneys lie below its last slice. The
lowest phantom of a whole region has 170 mm."""
MIN_WIDTH_MM: Final = 190.0
"""Slices of a smaller extent may be a part of the body alone. Of the training scans the crops of a spine or a limb have
at most 185 mm, and the 95 heads and necks, cropped to the body, at least 223 mm."""
MAY_LIE_BEYOND: Final = "The {name} is not seen; it may lie beyond the ends of the scan."
_LANDMARKS: Final = (
    (
        re.compile(
            r"trachea|carina|airway|bronch|clavic|subclavian|brachio|superior_vena|pulmonary|heart|atri|ventric"
        ),
        ("lung_left", "lung_right"),
    ),
    (re.compile(r"gallbladder|pancreas|spleen|adrenal|stomach|duodenum|portal|kidney|liver"), ("liver",)),
    (re.compile(r"(?<!gall)bladder|prostate|uterus|rectum|semin|ovar"), ("hip_left", "hip_right")),
)
"""Of the lower scans of a region the ends are missing: of an abdomen with the bases of the lungs, the trachea."""
WANDERING: Final = frozenset({"kidney_left", "kidney_right", "spleen", "stomach", "small_bowel", "colon"})
"""Organs that lie elsewhere in some patients: transplanted, in a hernia, moved by surgery, or ectopic."""
SURE_MASK: Final = 0.7
"""A mask that is surer than this is not doubted because of its place; rules too measure masks from this on."""
PLEURAL: Final = ("pleural_effusion", "pneumothorax")


def out_of_view(
    key: str,
    region: Region,
    scan_range: ScanRange | None = None,
    *,
    volume: CTVolume | None = None,
    far: bool = False,
) -> str | None:
    """Why a scan may not show a structure or the site of a finding; None if it shows all of it.

    The body axis tells it where the scan has a place on it and the structure too; else the region does.

    Args:
        key: of the vocabulary.
        region: part of the body that the scan shows.
        scan_range: the part of the body axis that the scan covers.
        volume: the scan, where its height matters too.
        far: whether only what the scan cannot show at all counts, and not what its ends may show.
    """
    name = vocabulary.STRUCTURES[key].name
    places = sites(key)
    told = set() if scan_range is None else {scan_range.place_of(place) for place in places}
    if scan_range is not None and told == {"outside"}:
        site = vocabulary.STRUCTURES[key].site
        return scan_range.says_outside(key if site is None else site)
    if told and None not in told and (far or "inside" in told):
        return None
    shown = [place for place in places if _is_shown(place, region, far=far)]
    if places and not shown:
        known = vocabulary.STRUCTURES[key]
        what = name if known.site is None else vocabulary.STRUCTURES[known.site].name
        whole = "whole " if any(_is_shown(place, region, far=True) for place in places) else ""
        return f"The scan shows the {anatomy.REGION_NAMES[region]} and not the {whole}{what}."
    if volume is None:
        return None
    if anatomy.is_numbered(key):
        return MAY_LIE_BEYOND.format(name=name)
    axis = slice_axis(volume.affine)
    height_mm = volume.shape_ijk[axis] * volume.spacing_mm[axis]
    if height_mm < MIN_HEIGHT_MM:
        return f"The scan is only {height_mm:.0f} mm high, so the {name} may lie beyond its ends."
    return None


def misplaced(key: str, confidence: float | None, range_of: Callable[[], ScanRange | None]) -> str | None:
    """Return why a mask cannot be what it was marked as: the scan surely does not show it; None if it may be it.

    It takes long to find where a scan lies, so that is asked only of what is easily mistaken: vertebrae and ribs, which
    look alike, and masks that are not sure.

    Args:
        key: of a structure or finding; of a finding the place of its structure counts.
        confidence: of the mask; None where it is not known.
        range_of: gives the part of the body axis that the scan covers.
    """
    places = sites(key) or (key,)
    is_doubtful = confidence is not None and confidence < SURE_MASK
    if WANDERING.intersection(places) or not (is_doubtful or anatomy.is_numbered(key)):
        return None
    scan_range = range_of()
    if scan_range is None or any(scan_range.place_of(place) != "outside" for place in places):
        return None
    site = vocabulary.STRUCTURES[key].site
    says = scan_range.says_outside(places[0] if site is None and vocabulary.STRUCTURES[key].is_finding else site or key)
    return f"What was marked cannot be {_a(key)}: {says[0].lower()}{says[1:]}" if says else None


def _a(key: str) -> str:
    known = vocabulary.STRUCTURES[key]
    return known.name if known.is_finding else anatomy.the(key)


def surely_shown(key: str, scan_range: ScanRange | None, volume: CTVolume) -> bool:
    """Return whether a scan surely shows a structure by its place alone: everybody has it, and it lies within.

    Args:
        key: of the vocabulary.
        scan_range: the part of the body axis that the scan covers.
        volume: the scan; a narrow one shows the spine alone.
    """
    beside = {part: in_every_body().get(part) for part in sites(key)}
    if scan_range is None or not beside or None in beside.values():
        return False
    if not all(beside.values()) and _width_mm(volume) < MIN_WIDTH_MM:
        return False
    found = scan_range.whereabouts(key)
    return found is not None and found.in_view


def _width_mm(volume: CTVolume) -> float:
    """The smaller extent of the slices."""
    axis = slice_axis(volume.affine)
    return min(volume.shape_ijk[one] * volume.spacing_mm[one] for one in range(3) if one != axis)


def sites(key: str) -> tuple[str, ...]:
    """The single structures of a structure, or those in which a finding lies; none where it may lie anywhere."""
    known = vocabulary.STRUCTURES[key]
    single = anatomy.single_structures()
    if not known.is_finding:
        return tuple(leaf for leaf in anatomy.leaves(key) if leaf in single)
    if key.startswith(PLEURAL):
        return ("lung_left", "lung_right") if known.side is None else (f"lung_{known.side}",)
    if key == "ascites":
        return ("liver", "urinary_bladder")
    return () if known.site is None else sites(known.site)


def hosts_of(key: str) -> tuple[str, ...]:
    """Structures of which one at least must be seen before a finding is called absent; none for a series of bones."""
    places = sites(key)
    sides = tuple(place for place in places if place in ("lung_left", "lung_right", "kidney_left", "kidney_right"))
    return sides or (places if len(places) == 1 else ())


def landmarks(key: str) -> tuple[str, ...]:
    """Organs that a scan shows as a whole if it shows the whole part of the body in which a structure lies."""
    return next((marks for pattern, marks in _LANDMARKS if pattern.search(key)), ())


def _is_shown(place: str, region: Region, *, far: bool) -> bool:
    return place not in anatomy.outside(region) if far else anatomy.is_covered(place, region)
