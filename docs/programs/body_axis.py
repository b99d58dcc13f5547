"""Makes the table of the body axis from labelled training scans and phantoms: `python docs/programs/body_axis.py DATA`.

Each scan has an unknown place on the axis, and each end of a structure an unknown height. Both are found together by
least squares with Huber's loss, since no scan shows the whole body: a head with a neck, a neck with a chest, an abdomen
with a pelvis. Phantoms tie the parts together. The zero is the disc between the vertebrae L1 and L2.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.linalg import lsqr

from medvlsam2.data import phantom, vocabulary
from medvlsam2.data.datasets.scans import labelled_scans
from medvlsam2.data.facts import Region
from medvlsam2.data.language import anatomy
from medvlsam2.evaluation.scans import LabelledScan, draw_phantom, read_scan
from medvlsam2.tasks.measure.body_axis.extents import Extent, areas_of, extent_of, imaged_slices
from medvlsam2.tasks.measure.masks.kept_mask import KeptMask
from medvlsam2.tasks.measure.masks.mask_measures import slice_axis

ROOT: Final = Path(__file__).resolve().parents[2]
TABLE: Final = ROOT / "lib/medvlsam2/tasks/measure/body_axis/axis_table.yaml"
FIRST_SEED: Final = 600_000
PHANTOMS: Final = 96
REGIONS: Final[tuple[Region, ...]] = (
    *("head and neck", "chest", "abdomen", "pelvis", "chest and abdomen", "abdomen and pelvis", "trunk", "thighs"),
)
REAL_WEIGHT: Final = 3.0
"""Weight of a real scan's end relative to that of a phantom's."""
SCALE_SD: Final = 0.04
"""Spread of the heights of the phantoms' patients; real scans keep their own millimetres."""
ZERO_WEIGHT: Final = 100.0
"""Weight of the equation that puts the disc between L1 and L2 at 0."""
HUBER_MM: Final = 15.0
ROUNDS: Final = 20
PARTLY_CONTOURED: Final = (("spinal_cord", "low"), ("esophagus", "low"), ("esophagus", "high"))
"""Ends in head-and-neck plans that are no ends of the structure: contours stop where the dose does."""
LEAST_SD_MM: Final = {"vertebra": 8.0, "rib": 25.0, "bone": 12.0, "other": 14.0}
"""Least spread of an end. Vertebrae: their heights over 200 mm vary by 4 %. Ribs: their lower end is the front
end, which breath and build move most. Other organs, too, move with the breath by 10 to 20 mm (liver, kidneys)."""
UNSEEN_SD_MM: Final = 6.0
"""Added to the spread of an end that no real scan shows: the phantoms' organs vary less than people's."""
LIKE: Final = {
    "heart": (
        *("heart_myocardium", "heart_atrium_left", "heart_atrium_right", "heart_ventricle_left"),
        *("heart_ventricle_right", "atrial_appendage_left", "coronary_arteries", "pulmonary_vein"),
    ),
    "lung_left": ("lung_upper_lobe_left", "lung_lower_lobe_left"),
    "lung_right": ("lung_upper_lobe_right", "lung_lower_lobe_right", "lung_middle_lobe_right"),
    "superior_vena_cava": (
        *("brachiocephalic_trunk", "brachiocephalic_vein_left", "brachiocephalic_vein_right"),
        *("subclavian_artery_left", "subclavian_artery_right"),
    ),
    "pulmonary_artery": ("bronchi", "carina"),
    "portal_vein_and_splenic_vein": ("portal_vein", "splenic_vein", "bile_duct", "celiac_trunk"),
    "liver": ("hepatic_vein",),
    "pancreas": ("superior_mesenteric_artery",),
    "eyeball_left": ("optic_nerve_left", "optic_chiasm"),
    "eyeball_right": ("optic_nerve_right",),
    "urinary_bladder": (
        *("seminal_vesicle_left", "seminal_vesicle_right", "rectum", "ovary_left", "ovary_right", "uterus"),
    ),
}
"""Structures that no scan here has labels of lie about where another one lies."""
LIKE_SD_MM: Final = 25.0
FEWEST_ENDS: Final = 3
"""A scan with fewer ends has no place of its own: its ends would say nothing but where they themselves lie."""
LONG_MM: Final = {"femur_left": 440.0, "femur_right": 440.0}
"""Usual length of bones whose lower ends no scan here shows (femur of adults: 430 to 480 mm in men, 400 to 450 mm in
women)."""
LONG_SD_MM: Final = 30.0
BONES: Final = anatomy.leaves("skeleton") | {"skull", "mandible", "sternum", "sacrum", "vertebrae_S1"}
MOVED: Final = ("humerus_left", "humerus_right")
"""Arms lie beside the chest or above the head: their place tells nothing, and the scan's place tells nothing of
them."""
EndName = tuple[str, str]


@dataclass(frozen=True)
class Seen:
    """The extents of one scan."""

    is_real: bool
    region: Region | None
    height_mm: float
    ends_mm: dict[EndName, float]
    """Heights of ends that the scan does not cut, above its lowest slice."""


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the real scans, with their split")
    seen = list(_all(parser.parse_args().data))
    seen = [scan for scan in seen if len(scan.ends_mm) >= FEWEST_ENDS]
    heights, places, spread, counts = solve(seen)
    TABLE.write_text(_text(seen, heights, places, spread, counts), encoding="utf-8")
    print(f"{len(heights)} ends of structures in {TABLE.relative_to(ROOT)}")


def _all(data: Path) -> Iterator[Seen]:
    for record in labelled_scans(data):
        yield _seen(read_scan(record), is_real=True)
    for number in range(PHANTOMS):
        config = phantom.PhantomConfig(
            region=REGIONS[number % len(REGIONS)],
            max_voxels=400_000,
            num_lesions=0,
            oblique_degrees=0.0,
            orientation="LPS",
        )
        yield _seen(draw_phantom(FIRST_SEED + number, config), is_real=False)


def _seen(scan: LabelledScan, *, is_real: bool) -> Seen:
    volume, imaged = scan.volume, imaged_slices(scan.volume)
    spacing_mm = float(volume.spacing_mm[slice_axis(volume.affine)])
    ends: dict[EndName, float] = {}
    for key, mask in scan.truth.items():
        kept = KeptMask.of(mask)
        extent = None if kept is None else extent_of(areas_of(kept, volume, imaged), spacing_mm)
        if extent is not None and key not in MOVED and not vocabulary.STRUCTURES[key].is_finding:
            ends |= _ends(key, extent)
    if is_real and any(key in dict(ends) for key in (("mandible", "low"), ("brainstem", "low"))):
        ends = {name: at for name, at in ends.items() if name not in PARTLY_CONTOURED}
    region = None if scan.facts is None else scan.facts.region
    return Seen(is_real, region, (imaged[1] - imaged[0]) * spacing_mm, ends)


def _ends(key: str, extent: Extent) -> dict[EndName, float]:
    low = {} if extent.low_is_cut else {(key, "low"): extent.low_mm}
    return low if extent.high_is_cut else {**low, (key, "high"): extent.high_mm}


def solve(
    seen: Sequence[Seen],
) -> tuple[dict[EndName, float], list[tuple[float, float]], dict[EndName, float], dict[EndName, tuple[int, int]]]:
    """Return heights of ends, offset and scale of each scan, spread of each end, and its numbers of scans."""
    names = sorted({name for scan in seen for name in scan.ends_mm})
    column = {name: number for number, name in enumerate(names)}
    rows = [(number, name, at) for number, scan in enumerate(seen) for name, at in scan.ends_mm.items()]
    scan_of = np.array([number for number, _, _ in rows])
    end_of = np.array([column[name] for _, name, _ in rows])
    at_mm = np.array([at for _, _, at in rows])
    real = np.array([seen[number].is_real for number, _, _ in rows])
    count = len(seen)
    own = np.where(real, REAL_WEIGHT, 1.0)
    weights = own.copy()
    residual = np.zeros(len(rows))
    scales = np.array([1e4 if scan.is_real else HUBER_MM / SCALE_SD for scan in seen])
    zero = [column["vertebrae_L1", "low"], column["vertebrae_L2", "high"]]
    for _ in range(ROUNDS):
        matrix = _equations(np.stack([scan_of, end_of]), at_mm, weights, scales, [2 * count + one for one in zero])
        right = np.concatenate([-weights * at_mm, np.zeros(count + 1)])
        solution = lsqr(matrix, right, atol=1e-10, btol=1e-10, iter_lim=5000)[0]
        offset, scale, height = solution[:count], 1.0 + solution[count : 2 * count], solution[2 * count :]
        residual = offset[scan_of] + scale[scan_of] * at_mm - height[end_of]
        weights = own * np.sqrt(np.minimum(1.0, HUBER_MM / np.maximum(np.abs(residual), 1e-6)))
    spread = {name: 1.4826 * float(np.median(np.abs(residual[end_of == column[name]]))) for name in names}
    counts = {
        name: (int((real & (end_of == column[name])).sum()), int((~real & (end_of == column[name])).sum()))
        for name in names
    }
    return dict(zip(names, height.tolist(), strict=True)), list(zip(offset, scale, strict=True)), spread, counts


def _equations(
    scan_and_end: np.ndarray, at_mm: np.ndarray, weights: np.ndarray, scales: np.ndarray, zero: Sequence[int]
) -> csr_matrix:
    """One row for each end that is seen, one for each scale, one for the zero.

    Unknown are the offsets of the scans, their scales less 1, and the heights of the ends, in this order.
    """
    (scan_of, end_of), count, seen = scan_and_end, len(scales), len(at_mm)
    number = np.arange(seen)
    rows = [number, number, number, seen + np.arange(count), np.full(len(zero), seen + count)]
    columns = [scan_of, count + scan_of, 2 * count + end_of, count + np.arange(count), np.array(zero)]
    values = [weights, weights * at_mm, -weights, scales, np.full(len(zero), ZERO_WEIGHT)]
    shape = (seen + count + 1, 2 * count + int(end_of.max()) + 1)
    return coo_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape).tocsr()


def _text(
    seen: Sequence[Seen],
    heights: dict[EndName, float],
    places: list[tuple[float, float]],
    spread: dict[EndName, float],
    counts: dict[EndName, tuple[int, int]],
) -> str:
    real = sum(scan.is_real for scan in seen)
    lines = [
        "# Made by docs/programs/body_axis.py; do not edit.",
        f"# From the labels of {real} real training scans and of {len(seen) - real} phantoms.",
        "# Heights in mm above the disc between L1 and L2: lower end, its spread, upper end, its spread;",
        "# then the numbers of real scans and of phantoms that show the lower and the upper end.",
        "spans:",
    ]
    for key in vocabulary.STRUCTURES:
        low, high = (key, "low"), (key, "high")
        if low in heights and high in heights:
            sds = [_sd(end, spread[end], counts[end][0]) for end in (low, high)]
            numbers = [heights[low], sds[0], heights[high], sds[1]]
            shown = ", ".join(f"{number:.0f}" for number in numbers)
            lines.append(f"  {key}: [{shown}, {', '.join(str(n) for n in (*counts[low], *counts[high]))}]")
    for key, others in LIKE.items():
        low_mm, high_mm = heights[(key, "low")], heights[(key, "high")]
        lines += [
            f"  {other}: [{low_mm:.0f}, {LIKE_SD_MM:.0f}, {high_mm:.0f}, {LIKE_SD_MM:.0f}, 0, 0, 0, 0]  # like {key}"
            for other in others
            if (other, "low") not in heights or (other, "high") not in heights
        ]
    for key, length_mm in LONG_MM.items():
        top = (key, "high")
        high_mm, count = heights[top], counts[top]
        ends = f"{high_mm - length_mm:.0f}, {LONG_SD_MM:.0f}, {high_mm:.0f}, {_sd(top, spread[top], count[0]):.0f}"
        lines.append(f"  {key}: [{ends}, 0, 0, {count[0]}, {count[1]}]  # length from books")
    lines += ["# Median range of the scans of each region, in mm.", "regions:"]
    ranges = defaultdict(list)
    for scan, (offset, scale) in zip(seen, places, strict=True):
        if scan.region is not None and scan.ends_mm:
            ranges[scan.region].append((offset, offset + scale * scan.height_mm))
    for region in REGIONS:
        low_mm, high_mm = np.median(np.array(ranges[region]), axis=0)
        lines.append(f"  {region}: [{low_mm:.0f}, {high_mm:.0f}]")
    return "\n".join(lines) + "\n"


def _sd(name: EndName, spread_mm: float, real: int) -> float:
    key, end = name
    if key.startswith("vertebrae_"):
        return max(spread_mm, LEAST_SD_MM["vertebra"])
    kind = "rib" if key.startswith("rib_") and end == "low" else "bone" if key in BONES else "other"
    return max(spread_mm, LEAST_SD_MM[kind]) + (0.0 if real else UNSEEN_SD_MM)


if __name__ == "__main__":
    main()
