"""The two tasks that answer with text: a JSON reply for programs, a markups file for Slicer."""

from __future__ import annotations

from typing import Final, get_args

from label_tasks.infer.base import EngineTask, ScanReader
from label_tasks.infer.call import Call
from label_tasks.infer.prior_scan import PriorScan
from label_tasks.infer.questions import question
from label_tasks.infer.replies import Reply, text_file
from label_tasks.infer.report_options import is_grounded, wanted_report
from medvlsam2.data.language.chat import ReportStyle
from medvlsam2.data.language.clinical import split_sentences
from medvlsam2.data.language.grounded import Prior
from medvlsam2.data.volume import CTVolume
from medvlsam2.errors import InvalidRequest, UnreadableVolume
from medvlsam2.tasks import converse
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.reporting.earlier import measured_prior

UNREAD_PRIOR: Final = "An earlier scan of the same patient could not be read, so nothing is compared with it."


class TextTask(EngineTask):
    """A task that answers with text. Its results are stored under a tag of their own, so they replace no mask."""

    tag: str

    def scan_of(self, call: Call) -> CTVolume:
        """The scan that the call is about.

        Raises:
            InvalidRequest: if OHIF asks, because it would read the text as a mask.
        """
        if call.viewer == "OHIF":
            raise InvalidRequest(
                f"The task '{self.tag}' answers with text, and OHIF's panel shows masks alone. Ask over HTTP with "
                "output=json, in 3D Slicer, or with 'medvlsam2 report' and 'medvlsam2 ask'."
            )
        return call.scan()


class ReportTask(TextTask):
    """A draft report."""

    tag = "report"

    def __init__(self, engine: Engine, scans: ScanReader, max_new_tokens: int) -> None:
        super().__init__(
            engine,
            scans,
            kind="segmentation",
            labels=(),
            description="Writes a draft radiology report; with 'grounded' off in the model's own words, unproved",
            options={"style": list(get_args(ReportStyle)), "grounded": ["on", "off"], "prior": ""},
        )
        self._max_new_tokens = max_new_tokens

    def answer(self, call: Call) -> Reply:
        """Report on a scan."""
        wanted = wanted_report(call.options)
        volume = self.scan_of(call)
        with call.watch.lap("infer"):
            prior, notes = self._prior(call, wanted.prior)
            report = converse.report(
                self._engine,
                volume,
                style=wanted.style,
                grounded=wanted.is_grounded,
                prior=prior,
                max_new_tokens=self._max_new_tokens,
            )
        places_ras = {one.sentence: one.place_ras for one in report.sentences}
        file = text_file(with_warnings(report.text, report), "Draft report", volume, places_ras)
        return Reply(file, report, notes=notes)

    def _prior(self, call: Call, earlier: PriorScan | None) -> tuple[Prior | None, tuple[str, ...]]:
        """Measure the earlier scan; and a warning if one that was found cannot be read.

        Raises:
            UnreadableVolume: if the one that the request names cannot be read.
        """
        if earlier is None:
            return None, ()
        try:
            volume = call.read(str(earlier.path), earlier.image_id)
        except UnreadableVolume:
            if earlier.is_named:
                raise
            return None, (UNREAD_PRIOR,)
        return measured_prior(self._engine, volume, earlier.dates), ()


class AnswerTask(TextTask):
    """An answer to a question."""

    tag = "vqa"

    def __init__(self, engine: Engine, scans: ScanReader) -> None:
        super().__init__(
            engine,
            scans,
            kind="segmentation",
            labels=(),
            description="Answers 'question'; with 'choices' (';' between them) it is multiple choice",
            options={
                "question": "",
                "choices": "",
                "kind": ["auto", "short", "long", "multiple_choice"],
                "grounded": ["on", "off"],
                "previous": "",
            },
        )

    def answer(self, call: Call) -> Reply:
        """Answer a question about a scan."""
        asked = question(call.options)
        volume = self.scan_of(call)
        with call.watch.lap("infer"):
            answer = converse.answer(
                self._engine,
                volume,
                asked.text,
                asked.choices,
                asked.kind,
                grounded=is_grounded(call.options),
                previous=asked.previous,
                client=call.client_id,
            )
        said = f"{asked.text} {answer.text}"
        places_ras = dict.fromkeys(split_sentences(said), answer.place_ras)
        return Reply(text_file(with_warnings(said, answer), "Answer", volume, places_ras), answer)


def with_warnings(text: str, told: converse.Answer | converse.Report) -> str:
    """The text of an answer with the warnings that say that nothing proves it, for a viewer that shows text alone."""
    return text if told.grounded else " ".join([text, *told.unproved])
