"""Texts about scans: prompts, reports, questions, referring phrases, the training corpus and its tokenizer."""

from medvlsam2.data.language.asking.drafts import QuestionAnswer
from medvlsam2.data.language.asking.questions import questions
from medvlsam2.data.language.phrases import ReferringPhrase, phrases
from medvlsam2.data.language.reporting.reports import FindingText, ReportText, report

__all__ = [
    "FindingText",
    "QuestionAnswer",
    "ReferringPhrase",
    "ReportText",
    "phrases",
    "questions",
    "report",
]
