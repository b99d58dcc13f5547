"""Language of the scans: prompts, reports, questions, referring phrases, the corpus and its tokenizer."""

from medvlsam2.data.language.drafts import QuestionAnswer
from medvlsam2.data.language.phrases import ReferringPhrase, phrases
from medvlsam2.data.language.questions import questions
from medvlsam2.data.language.reports import FindingText, ReportText, report

__all__ = [
    "FindingText",
    "QuestionAnswer",
    "ReferringPhrase",
    "ReportText",
    "phrases",
    "questions",
    "report",
]
