"""The benchmark of rules counts what is found, missed and invented on a scan whose truth is known."""

from __future__ import annotations

import measured_findings
import pytest

from medvlsam2.data.phantom import PhantomConfig
from medvlsam2.evaluation.scans import draw_phantom

ENLARGED = 720_017
"""This phantom has a large spleen and a lung nodule, and no contrast."""


def test_the_table_counts_a_phantom(capsys: pytest.CaptureFixture[str]) -> None:
    scan = draw_phantom(ENLARGED, PhantomConfig(shape_ijk=(96, 72, 60), spacing_mm=(4.0, 4.0, 4.0), region="abdomen"))
    assert scan.facts is not None
    assert {lesion.structure for lesion in scan.facts.lesions} >= {"spleen"}
    measured_findings.show_phantoms([scan])
    rows = {
        cells[1].strip(): cells[2:] for line in capsys.readouterr().out.splitlines() if (cells := line.split("|"))[1:]
    }
    assert rows["splenomegaly"][0].strip() == "1.00 (1/1)"
    assert rows["phase: non-contrast"][0].strip() == "1.00 (1/1)"
    assert rows["phase: arterial"][1].strip() == "1.00 (1/1)"
    assert rows["gallstone"][0].strip() == "–"
    measured_findings.show_scans([scan])
    assert "| splenomegaly | present 1 |" in capsys.readouterr().out
