"""What is known about a scan: the common ground of phantoms, labelled scans, reports and questions."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

ContrastPhase = Literal["non-contrast", "arterial", "portal venous", "delayed"]
Side = Literal["left", "right"]
Region = Literal[
    "head and neck", "chest", "abdomen", "pelvis", "chest and abdomen", "abdomen and pelvis", "trunk", "thighs"
]


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One finding with a known place and size."""

    kind: str
    """What it is, lower case: "cyst", "nodule", "metastasis", "stone", "effusion" …"""
    structure: str
    """Vocabulary key of the structure that holds it, e.g. "liver", "kidney_left"."""
    side: Side | None
    """Side of the patient, where one applies."""
    center_ijk: tuple[int, int, int]
    """Voxel nearest to its centre, on the source grid; always inside the lesion."""
    center_ras: tuple[float, float, float]
    """Centre in world mm."""
    diameter_mm: float
    """Largest diameter in mm."""
    mean_hu: float
    """Mean Hounsfield units inside it."""
    label_value: int
    """Value of this lesion in the phantom's lesion map (1, 2, …)."""


@dataclass(frozen=True, kw_only=True)
class ScanFacts:
    """Everything that is known of one scan; nothing that is guessed."""

    region: Region
    """Part of the body that the scan shows."""
    phase: ContrastPhase | None = None
    """Contrast phase; None where it is not known."""
    sex: Literal["female", "male"] | None = None
    """Sex of the patient or phantom; None where it is not known."""
    volumes_ml: dict[str, float] = field(default_factory=dict)
    """Volume in mL of every structure (vocabulary key) that is present and labelled."""
    absent: tuple[str, ...] = ()
    """Vocabulary keys KNOWN to be absent. A structure in neither list is simply not known."""
    lesions: tuple[Lesion, ...] = ()
    """Findings with known place and size; empty means known to be without, see ``lesions_known``."""
    lesions_known: bool = False
    """True where every finding is listed (phantoms); False for real scans, where others may exist."""

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary, for JSON files beside a scan."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> ScanFacts:
        """Inverse of :meth:`to_json`."""
        lesions = tuple(
            Lesion(
                **{
                    **lesion,
                    "center_ijk": tuple(lesion["center_ijk"]),
                    "center_ras": tuple(lesion["center_ras"]),
                }
            )
            for lesion in record.get("lesions", ())
        )
        return cls(**{**record, "lesions": lesions, "absent": tuple(record.get("absent", ()))})
