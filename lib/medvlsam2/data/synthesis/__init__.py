"""New scans of labelled ones: deformed, re-coloured and scanned again (after SynthSeg), so that one teaches many.

Reference: Billot et al., SynthSeg, Medical Image Analysis 86, 2023.
"""

from __future__ import annotations

from medvlsam2.data.synthesis.synthesise import SynthesisConfig, synthesise

__all__ = ["SynthesisConfig", "synthesise"]
