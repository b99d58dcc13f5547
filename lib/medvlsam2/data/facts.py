"""Facts that are known about a scan. Phantoms and labelled scans provide them; reports and questions use them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from medvlsam2.data.structures.table import Side

ContrastPhase = Literal["non-contrast", "arterial", "portal venous", "delayed"]
Region = Literal[
    "head and neck", "chest", "abdomen", "pelvis", "chest and abdomen", "abdomen and pelvis", "trunk", "thighs"
]


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """A finding whose place and size are known."""

    kind: str
    """Kind of finding in lower case: "cyst", "nodule", "metastasis", "stone", "effusion" …"""
    structure: str
    """Vocabulary key of the structure that holds the finding, e.g. "liver", "kidney_left"."""
    side: Side | None
    """Side of the patient; None if the finding has no side."""
    center_ijk: tuple[int, int, int]
    """Voxel of the finding that is nearest to its centre, on the source grid."""
    center_ras: tuple[float, float, float]
    """Centre in world mm."""
    diameter_mm: float
    """Largest diameter in mm."""
    mean_hu: float
    """Mean Hounsfield units inside the finding."""
    label_value: int
    """Value of the finding in the phantom's lesion map (1, 2, …)."""


@dataclass(frozen=True, kw_only=True)
class ScanFacts:
    """Everything that is known about one scan; nothing here is guessed."""

    region: Region
    """Part of the body that the scan shows."""
    phase: ContrastPhase | None = None
    """Contrast phase; None if it is not known."""
    sex: Literal["female", "male"] | None = None
    """Sex of the patient or phantom; None if it is not known."""
    volumes_ml: dict[str, float] = field(default_factory=dict)
    """Volume in mL of every structure (vocabulary key) that is present and labelled."""
    absent: tuple[str, ...] = ()
    """Vocabulary keys of structures that are KNOWN to be absent. A structure in neither field is unknown."""
    lesions: tuple[Lesion, ...] = ()
    """Findings with known place and size. An empty tuple means "no finding" only if ``lesions_known`` is True."""
    lesions_known: bool = False
    """Whether ``lesions`` holds every finding: True for phantoms, False for real scans, which may have more."""

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary, for JSON files beside a scan."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> ScanFacts:
        """Return the facts from a dictionary of :meth:`to_json`."""
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
