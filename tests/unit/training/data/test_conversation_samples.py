"""Conversations about a scan: which questions, and which sizes their answers tell."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from medvlsam2.training.data.cases import Case
from medvlsam2.training.data.conversation_samples import conversation_sample


def test_a_sample_ends_with_a_report_where_all_is_known(tiny_case: Case) -> None:
    assert tiny_case.facts is not None
    about = conversation_sample(tiny_case.facts, np.random.default_rng(0), 4, measured_share=0.0)
    assert about is not None
    assert len(about.conversations) == 4
    assert "report" in about.conversations[-1].question
    assert about.measured is None
    partly_known = replace(tiny_case.facts, lesions_known=False)
    partly = conversation_sample(partly_known, np.random.default_rng(0), 4, measured_share=0.0)
    assert partly is not None
    assert all("report" not in item.question for item in partly.conversations)


def test_answers_tell_the_sizes_that_were_measured(tiny_case: Case) -> None:
    assert tiny_case.facts is not None
    about = conversation_sample(tiny_case.facts, np.random.default_rng(0), 200, measured_share=1.0)
    assert about is not None
    assert about.measured is not None
    told_mm = {mm for item in about.conversations for mm in re.findall(r"(\d+) mm", item.answer)}
    assert told_mm
    assert told_mm <= set(re.findall(r"(\d+) mm", about.measured))
