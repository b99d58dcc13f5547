"""What the rules of measured findings say where the masks are right: on phantoms with known truth, and on real scans.

    python benchmarks/measured_findings.py --phantoms 60
    python benchmarks/measured_findings.py --data ../shared/data

The masks are the truth's own, so the rules are tested apart from the model. Of phantoms the first table tells how often
each finding is found where it is, and not found where it is not. Of real scans the second one tells what each rule says
of how many scans, with its values: most of these scans are normal, so a reader sees whether normal is called abnormal.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

from medvlsam2.data.datasets.scans import labelled_scans
from medvlsam2.data.fact_table import Fact, FactState
from medvlsam2.data.facts import ContrastPhase, ScanFacts
from medvlsam2.data.language.findings.finding_keys import finding_key
from medvlsam2.evaluation.scans import LabelledScan, draw_phantom, read_scan
from medvlsam2.tasks.measure.fact_source import Facts
from medvlsam2.tasks.measure.sources.given_masks import GivenMasks

FIRST_SEED = 720_000
"""Phantoms that neither training (from 1,000 on) nor the evaluation (from 500,000 on) uses."""
SPLITS = ("train", "val")
DRAWN = (
    "splenomegaly",
    "cardiomegaly",
    "aortic_aneurysm",
    "coronary_calcification",
    "gallstone",
    "kidney_stone",
    "vertebral_fracture",
)
"""Rules whose finding the phantom draws, or else is without."""
PROVED = ("pleural_effusion", "pneumothorax", "ascites", "hydronephrosis", "kidney_cyst", "liver_cyst", "spleen_cyst")
"""Findings whose masks must have a density to be believed: one row for each mask."""
SHOWN = 8
"""Values of a rule that are shown, spread evenly over all."""


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real scans with labels")
    parser.add_argument("--phantoms", type=int, default=0, help="how many phantoms")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    options = parser.parse_args()
    if options.phantoms:
        seeds = range(options.first_seed, options.first_seed + options.phantoms)
        print(f"{options.phantoms} phantoms, seeds {seeds.start} to {seeds.stop - 1}\n")
        show_phantoms(map(draw_phantom, seeds))
    if options.data is not None:
        records = [record for split in SPLITS for record in labelled_scans(options.data, split)]
        print(f"\n{len(records)} real scans with their own labels\n")
        show_scans(map(read_scan, records))


def show_phantoms(scans: Iterable[LabelledScan]) -> None:
    """Print for each rule with a known truth how often it is right."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for scan in scans:
        assert scan.facts is not None
        facts = facts_of_scan(scan)
        for key, fact, is_true in _with_truth(facts, scan.facts):
            said = fact.state if fact.is_known else "not assessed"
            counts[key][f"{'true' if is_true else 'false'} {said}"] += 1
    print("| rule | sensitivity | specificity | not assessed: with, without the finding |\n|---|---|---|---|")
    for key, count in counts.items():
        found, missed = count["true present"], count["true absent"]
        invented, right = count["false present"], count["false absent"]
        print(
            f"| {key} | {_share(found, found + missed)} | {_share(right, right + invented)} | "
            f"{count['true not assessed']}, {count['false not assessed']} |"
        )


def show_scans(scans: Iterable[LabelledScan]) -> None:
    """Print for each rule what it says, with its values."""
    said: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    values: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for scan in scans:
        facts = facts_of_scan(scan)
        for key in facts.rules:
            fact = facts.rule(key)
            said[key][fact.label if key in ("phase", "region") and fact.is_known else fact.state] += 1
            if fact.value is not None:
                values[key].append((fact.value, scan.volume.image_id + ("*" if fact.is_present else "")))
    print("| rule | says | values (* present) |\n|---|---|---|")
    for key, states in said.items():
        told = ", ".join(f"{state} {number}" for state, number in sorted(states.items()))
        print(f"| {key} | {told} | {', '.join(_spread(values[key]))} |")


def facts_of_scan(scan: LabelledScan) -> Facts:
    """Facts on the true masks of a scan."""
    truth = {**scan.truth, **scan.wholes}
    known = None if scan.lesion_map is None else scan.facts
    return Facts(GivenMasks.of_truth(scan.volume, truth, known, scan.lesion_map))


def _with_truth(facts: Facts, truth: ScanFacts) -> Iterator[tuple[str, Fact, bool]]:
    """Each rule for which a phantom knows the truth, what the rule says, and whether the finding is there."""
    keys = {finding_key(lesion) for lesion in truth.lesions}
    for key in DRAWN:
        yield key, facts.rule(key), key in keys
    for phase in get_args(ContrastPhase):
        told = facts.rule("phase")
        state: FactState = "not assessed" if not told.is_known else "present" if told.label == phase else "absent"
        yield f"phase: {phase}", replace(told, state=state), truth.phase == phase
    for key in PROVED:
        for fact in facts.finding(key):
            yield f"{key} (mask)", fact, key in keys


def _share(part: int, total: int) -> str:
    return f"{part / total:.2f} ({part}/{total})" if total else "–"


def _spread(values: list[tuple[float, str]]) -> list[str]:
    ordered = sorted(values)
    step = max(1, len(ordered) // SHOWN)
    return [f"{value:.1f} {name}" for value, name in ordered[::step]]


if __name__ == "__main__":
    main()
