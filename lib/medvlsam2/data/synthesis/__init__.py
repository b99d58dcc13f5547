"""Synthesis of new scans from labelled scans: deformed, with new HU, and scanned again, for training (after SynthSeg).

Reference: Billot et al., SynthSeg, Medical Image Analysis 86, 2023.
"""

from __future__ import annotations

from medvlsam2.data.synthesis.synthesise import SynthesisConfig, synthesise

__all__ = ["SynthesisConfig", "synthesise"]
