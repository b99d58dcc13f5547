"""Choose the colours of all structures: neighbours far apart for every eye, each near the colour that it had.

    python benchmarks/colours.py [--labelled label.nii.gz names.json] [--picture table.png]

Writes ``lib/medvlsam2/data/structures/structure_colors.yaml``. Pairs that must be apart come from
``colour_neighbours.yaml``, from generated phantoms and from a labelled scan whose names stand in a JSON file
({"labels": {"1": "spleen", …}}). Each structure in turn takes the colour of least cost; pairs that stay too near count
more each time (breakout local search).
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import yaml
from colour_distance import (
    DICHROMATS,
    Pair,
    anatomical_pairs,
    from_grey,
    seen_by,
    touching_pairs,
    whole_and_part_pairs,
)
from skimage.color import deltaE_ciede2000

from medvlsam2.data import vocabulary
from medvlsam2.data.colours import cielab
from medvlsam2.data.facts import Region
from medvlsam2.data.label_maps import read_label_map
from medvlsam2.data.vocabulary import STRUCTURES

OUTPUT = Path(__file__).resolve().parents[1] / "lib" / "medvlsam2" / "data" / "structures" / "structure_colors.yaml"
LIGHTNESS = (55.0, 91.0)
"""L* of candidates: seen on a grey scan, and not as white as bone."""
CHROMA = 25.0
APART, APART_NORMAL = 12.0, 15.0
"""Aims for neighbours, the least of all eyes and for normal ones; the tests ask for a little less."""
LOOSELY_APART = 8.0
"""For wholes and their parts, and between the main organs."""
GREY_APART = 8.0
TOO_ALIKE = 2.0
"""Of any two structures, for normal eyes."""
MAIN_ORGANS = (
    *("spleen", "kidney_left", "kidney_right", "gallbladder", "liver", "stomach", "pancreas", "esophagus", "colon"),
    *("duodenum", "small_bowel", "urinary_bladder", "heart", "aorta", "inferior_vena_cava", "trachea", "spinal_cord"),
    *("lung_left", "lung_right", "brain", "prostate"),
)
"""Seen together in most pictures: told apart by normal eyes, also where they do not touch."""
CONVENTIONS = {
    **dict.fromkeys(("aorta", "iliac_artery_left", "iliac_artery_right"), (240, 80, 65)),
    **dict.fromkeys(
        ("inferior_vena_cava", "superior_vena_cava", "iliac_vena_left", "iliac_vena_right"), (60, 145, 235)
    ),
    **dict.fromkeys(("pulmonary_artery", "portal_vein_and_splenic_vein"), (90, 165, 240)),
    **dict.fromkeys(("hip_left", "hip_right", "femur_left", "femur_right"), (240, 215, 150)),
    **{"liver": (200, 120, 85), "gallbladder": (120, 190, 90), "urinary_bladder": (225, 200, 60)},
}
"""Colours that atlases use: arteries red, veins blue, bone like ivory."""
WITHIN = 22.0
"""How far from its convention a colour may lie, in CIEDE2000 for normal eyes."""
SWEEPS = 100


def candidates() -> np.ndarray:
    """Colours that are allowed: a grid of sRGB within lightness and chroma, far from grey for all eyes."""
    steps = range(0, 256, 17)
    rgb = np.array(list(itertools.product(steps, repeat=3)))
    lab = cielab(rgb)
    good = (lab[:, 0] >= LIGHTNESS[0]) & (lab[:, 0] <= LIGHTNESS[1]) & (np.hypot(lab[:, 1], lab[:, 2]) >= CHROMA)
    good &= np.min(list(from_grey(rgb).values()), axis=0) >= GREY_APART
    return rgb[good]


def distances(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Between all candidates: the least of all eyes, and for normal eyes."""
    seen = seen_by(rgb)
    every = {eyes: deltaE_ciede2000(lab[:, None], lab[None]).astype(np.float32) for eyes, lab in seen.items()}
    assert len(every) == len(DICHROMATS) + 1
    return np.min(list(every.values()), axis=0), every["normal"]


def measured_pairs(labelled: list[str]) -> set[Pair]:
    """Pairs that touch in phantoms of every region and, where one is given, in a labelled scan."""
    from medvlsam2.data.phantom import PhantomConfig, generate

    pairs: set[Pair] = set()
    regions: tuple[Region, ...] = ("abdomen", "chest", "head and neck", "abdomen and pelvis")
    for region, seed in itertools.product(regions, (1, 2, 3)):
        config = PhantomConfig(shape_ijk=(96, 80, 60), spacing_mm=(4.0, 4.0, 6.0), region=region, num_lesions=4)
        phantom = generate(seed, config)
        pairs |= touching_pairs(phantom.label_map, phantom.labels)
    if labelled:
        names = json.loads(Path(labelled[1]).read_text(encoding="utf-8"))["labels"]
        keys = {int(value): vocabulary.find(name).key for value, name in names.items()}
        pairs |= touching_pairs(read_label_map(labelled[0]).values, keys)
    return pairs


class Search:
    """Colours of all structures, improved one at a time."""

    def __init__(self, rgb: np.ndarray, pairs: set[Pair], seed: int) -> None:
        self.rgb, self.keys = rgb, list(STRUCTURES)
        self.least, self.normal = distances(rgb)
        self.random = np.random.default_rng(seed)
        number = {key: n for n, key in enumerate(self.keys)}
        self.weights = np.zeros((len(self.keys),) * 2, np.float32)
        for one, other in (tuple(number[key] for key in pair) for pair in pairs):
            self.weights[one, other] = self.weights[other, one] = 1
        self.loose = np.zeros_like(self.weights)
        together = whole_and_part_pairs() | set(map(frozenset, itertools.combinations(MAIN_ORGANS, 2)))
        for one, other in (tuple(number[key] for key in pair) for pair in together):
            self.loose[one, other] = self.loose[other, one] = self.weights[one, other] == 0
        now = cielab(np.array([STRUCTURES[key].color_rgb for key in self.keys]))
        self.far = 0.03 * deltaE_ciede2000(now[:, None], cielab(rgb)[None]).astype(np.float32)
        for key, color in CONVENTIONS.items():
            away = deltaE_ciede2000(cielab(np.array([color])), cielab(rgb))
            self.far[number[key]] = np.where(away <= WITHIN, 0.1 * away, np.inf)
        self.chosen = self.far.argmin(axis=1)

    def cost(self, n: int) -> np.ndarray:
        """Cost of each candidate for one structure, as all others are now."""
        near, loose = np.flatnonzero(self.weights[n]), np.flatnonzero(self.loose[n])
        others = np.delete(self.chosen, n)
        too_near: np.ndarray = np.maximum(0, APART - self.least[:, self.chosen[near]]) ** 2
        too_near += 0.5 * np.maximum(0, APART_NORMAL - self.normal[:, self.chosen[near]]) ** 2
        cost = self.far[n] + too_near @ self.weights[n, near]
        cost += 0.3 * (np.maximum(0, LOOSELY_APART - self.normal[:, self.chosen[loose]]) ** 2).sum(axis=1)
        alike = self.normal[:, others]
        return cost + 0.05 * (np.maximum(0, 4 - alike) ** 2).sum(axis=1) + 100 * (alike < TOO_ALIKE).sum(axis=1)

    def too_near(self) -> np.ndarray:
        """Which pairs are nearer than they should be."""
        now = np.ix_(self.chosen, self.chosen)
        return (self.weights > 0) & ((self.least[now] < APART) | (self.normal[now] < APART_NORMAL))

    def run(self) -> None:
        """Sweep over all structures until every pair is apart, or for as long as is allowed; keep the best."""
        best = (0.0, self.chosen.copy())
        for sweep in range(SWEEPS):
            for n in self.random.permutation(len(self.keys)):
                self.chosen[n] = int(self.cost(n).argmin())
            near = self.too_near()
            now = self.least[np.ix_(self.chosen, self.chosen)][self.weights > 0]
            print(f"sweep {sweep + 1}: {near.sum() // 2} of {(self.weights > 0).sum() // 2} pairs too near, "
                  f"the nearest {now.min():.1f}", flush=True)  # fmt: skip
            best = max(best, (float(now.min()), self.chosen.copy()), key=lambda found: found[0])
            if not near.any():
                break
            self.weights[near] *= 1.15
        self.chosen = best[1]


def main() -> None:
    """Choose the colours and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labelled", nargs=2, default=[], metavar=("LABEL", "NAMES"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    search = Search(candidates(), anatomical_pairs() | measured_pairs(arguments.labelled), arguments.seed)
    search.run()
    colors = {key: search.rgb[n].tolist() for key, n in zip(search.keys, search.chosen, strict=True)}
    head = (
        "# Display colours, red, green and blue from 0 to 255, the same in OHIF, Slicer, DICOM SEG and pictures.\n"
        "# Chosen by benchmarks/colours.py, so that neighbours are far apart for normal and for colour-blind eyes.\n"
    )
    lines = yaml.safe_dump(colors, default_flow_style=None, sort_keys=False, width=120)
    OUTPUT.write_text(head + lines, encoding="utf-8")


if __name__ == "__main__":
    main()
