"""How far colours are apart for people with normal and with colour-blind eyes, and which structures must be.

Distances are CIEDE2000 (scikit-image): 1 is just noticeable side by side, 10 is seen at a glance. Dichromats are
simulated in linear RGB with the matrices of Machado, Oliveira and Fernandes 2009 at severity 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
import yaml
from skimage.color import deltaE_ciede2000

from medvlsam2.data.colours import cielab
from medvlsam2.data.vocabulary import STRUCTURES, mirror

NEIGHBOURS: Final = Path(__file__).with_name("colour_neighbours.yaml")
SIDES: Final = ("left", "right")

DICHROMATS: Final = {
    "protanope": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranope": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanope": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
"""Machado et al., A Physiologically-based Model for Simulation of Color Vision Deficiency, IEEE TVCG 2009, table 1."""

Pair = frozenset[str]


def seen_by(rgb: np.ndarray) -> dict[str, np.ndarray]:
    """CIELab of sRGB colours (n x 3, 0 to 255), as each kind of eyes sees them."""
    share = np.asarray(rgb, np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = {"normal": cielab(np.asarray(rgb))}
    for eyes, matrix in DICHROMATS.items():
        own = np.clip(linear @ np.array(matrix).T, 0, 1)
        seen[eyes] = cielab(255 * np.where(own <= 0.0031308, own * 12.92, 1.055 * own ** (1 / 2.4) - 0.055))
    return seen


def apart(first_rgb: np.ndarray, second_rgb: np.ndarray) -> dict[str, np.ndarray]:
    """CIEDE2000 between the n-th colours of two lists, for each kind of eyes."""
    first, second = seen_by(first_rgb), seen_by(second_rgb)
    return {eyes: np.asarray(deltaE_ciede2000(first[eyes], second[eyes])) for eyes in first}


def from_grey(rgb: np.ndarray) -> dict[str, np.ndarray]:
    """CIEDE2000 between colours and the grey of the same lightness, which a scan may have beside them."""
    found = {}
    for eyes, lab in seen_by(rgb).items():
        grey = lab * (1, 0, 0)
        found[eyes] = np.asarray(deltaE_ciede2000(lab, grey))
    return found


def side_pairs() -> set[Pair]:
    """Every structure and its mirror image."""
    return {frozenset((key, mirror(key))) for key in STRUCTURES if mirror(key) != key}


def anatomical_pairs() -> set[Pair]:
    """Structures that touch by anatomy, sides, and findings with the structures in which they lie."""
    content = yaml.safe_load(NEIGHBOURS.read_text(encoding="utf-8"))
    pairs = side_pairs()
    for line in _both_sides(content["touching"]):
        pairs |= {frozenset((line[0], other)) for other in line[1:]}
    for row in _both_sides(content["rows"]):
        pairs |= {frozenset(pair) for step in (1, 2) for pair in zip(row, row[step:], strict=False)}
    for key in (key for key in STRUCTURES if key.startswith("vertebrae_")):
        pairs |= {frozenset((key, other)) for other in ("spinal_cord", "autochthon_left", "autochthon_right")}
    pairs |= set(_of_ribs())
    for key, structure in STRUCTURES.items():
        if structure.site:
            pairs |= {frozenset((key, place)) for place in (structure.site, *STRUCTURES[structure.site].parts)}
    return {pair for pair in pairs if len(pair) > 1}


def whole_and_part_pairs() -> set[Pair]:
    """Wholes with all their parts, which are seldom shown together."""
    return {frozenset((key, part)) for key in STRUCTURES for part in _parts(key)}


def touching_pairs(label_map: np.ndarray, keys: Mapping[int, str]) -> set[Pair]:
    """Structures that touch in a label map, or have one voxel between them."""
    pairs: set[Pair] = set()
    for axis in range(3):
        for step in (1, 2):
            size = label_map.shape[axis]
            first, second = (np.take(label_map, range(a, size - step + a), axis).ravel() for a in (0, step))
            met = (first != second) & (first > 0) & (second > 0)
            for one, other in np.unique(np.stack([first[met], second[met]], axis=1), axis=0).tolist():
                pairs.add(frozenset((keys[one], keys[other])))
    return {pair for pair in pairs if len(pair) > 1}


def _both_sides(lines: list[list[str]]) -> Iterator[list[str]]:
    for line in lines:
        if any("{side}" in key for key in line):
            yield from ([key.format(side=side) for key in line] for side in SIDES)
        else:
            yield line


def _of_ribs() -> Iterator[Pair]:
    for side in SIDES:
        lungs = [key for key in STRUCTURES if key.startswith("lung_") and key.endswith(side)]
        lungs = [key for key in lungs if not STRUCTURES[key].is_finding]
        for number in range(1, 13):
            levels = [f"vertebrae_T{level}" for level in (number - 1, number) if level]
            for other in (*levels, *lungs, f"autochthon_{side}"):
                yield frozenset((f"rib_{side}_{number}", other))


def _parts(key: str) -> Iterator[str]:
    for part in STRUCTURES[key].parts:
        yield part
        yield from _parts(part)


def all_pairs() -> set[Pair]:
    """Every two structures."""
    return {frozenset(pair) for pair in combinations(STRUCTURES, 2)}
