"""Reports and answers: text about a scan, with the facts, the structures and the places that prove it."""

from medvlsam2.tasks.questions.door import Answer, answer
from medvlsam2.tasks.reporting.door import Report, ReportSentence, report

__all__ = ["Answer", "Report", "ReportSentence", "answer", "report"]
