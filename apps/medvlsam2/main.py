"""MedVL-SAM2 as a MONAI Label app: seven abilities of one model, fine-tuning, and what to label next.

The host loads this file by itself, also in the process that it starts for each training or batch run, and
again after a reload. So building the app reads no weights and changes nothing outside of it: the engine loads
them at the first request that needs them.
"""

from __future__ import annotations

import copy
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask

from label_tasks.failures import errors_as_http
from label_tasks.images import CHECKED, known_image
from label_tasks.infer.base import EngineTask, ScanReader
from label_tasks.infer.report_options import PRIOR
from label_tasks.infer.segmentation import (
    InteractiveTask,
    PromptsTask,
    ReferringTask,
    ScribblesTask,
    SemanticTask,
)
from label_tasks.infer.text import AnswerTask, ReportTask, TextTask
from label_tasks.learning.finetuning import WORK_FOLDER, FineTuneTask
from label_tasks.learning.score_book import SCORE_FILE
from label_tasks.learning.selection import UniformRandom, ValueStrategy
from label_tasks.logs.short_ids import short_id
from label_tasks.pacs.datastore import PacsDatastore
from label_tasks.pacs.opening import open_pacs
from label_tasks.priors import Priors
from label_tasks.prompting import fields
from label_tasks.store.scan_folder import ScanFolder
from label_tasks.uploads.sessions import PrivateSessions
from medvlsam2 import NOTICE, __version__
from medvlsam2.data import vocabulary
from medvlsam2.data.reading.plain_names import require_new_tag
from medvlsam2.data.studies.bounds import OF_MODEL
from medvlsam2.data.studies.writable import require_writable
from medvlsam2.errors import InvalidRequest, nearest_hint
from medvlsam2.model.registry import choose_model
from medvlsam2.settings.reading import read_for_app
from medvlsam2.settings.record import ServerSettings, all_settings
from medvlsam2.tasks.engine.engine import Engine

logger = logging.getLogger(__name__)

STATS_FILE = "medvlsam2_train_stats.json"
NOT_STORED = (
    "Nothing was stored: save_label is for images of the datastore, and this scan is of a session or of the request "
    "alone. Upload it with PUT /datastore/image to store labels of it."
)


class MedVLSAM2App(MONAILabelApp):  # type: ignore[misc]
    """The one app class that the host looks for."""

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, str]) -> None:
        settings.MONAI_LABEL_AUTO_UPDATE_SCORING = False
        self._config = _settings(conf)
        self._model_dir = _chosen_model(self._config)
        self._engine = Engine(
            self._model_dir,
            self._config.device,
            cache_bytes=self._config.cache_bytes,
            uses_coronal_views=self._config.tta == "axes",
            reads_ahead=True,
            cuda_graphs=self._config.cuda_graphs,
        )
        self._scans = ScanReader()
        self._priors = Priors()
        self._known = _published_labels(self._model_dir)
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=dict(conf),
            name="MedVL-SAM2",
            description=f"Masks, reports and answers for 3-D CT. {NOTICE}",
            version=__version__,
            labels=list(self._known),
        )

    @property
    def engine(self) -> Engine:
        """The model that answers."""
        return self._engine

    def init_datastore(self) -> Datastore:
        """The studies folder (files and DICOM folders), or the DICOMweb server whose address is given instead."""
        if not self.studies.startswith(("http://", "https://")):
            require_writable(Path(self.studies))
            return ScanFolder(self.studies)
        if settings.MONAI_LABEL_DATASTORE:  # another kind of server, which the host knows
            return super().init_datastore()
        return open_pacs(self.studies, settings, self._model_of, self._config.pacs_cache_gib)

    def init_infers(self) -> dict[str, InferTask]:
        """The seven abilities by the names that clients list."""
        return {
            "medvlsam2_semantic": SemanticTask(self._engine, self._scans, self._known),
            "medvlsam2_referring": ReferringTask(self._engine, self._scans),
            "medvlsam2_interactive": InteractiveTask(self._engine, self._scans),
            "medvlsam2_scribbles": ScribblesTask(self._engine, self._scans),
            "medvlsam2_prompts": PromptsTask(self._engine, self._scans, self._known),
            "medvlsam2_report": ReportTask(self._engine, self._scans, self._config.report_tokens),
            "medvlsam2_vqa": AnswerTask(self._engine, self._scans),
        }

    def init_trainers(self) -> dict[str, TrainTask]:
        """Fine-tuning on submitted labels."""
        folder = self._data_dir()
        task = FineTuneTask(self._model_dir, folder / STATS_FILE, folder / WORK_FOLDER, self._engine.device)
        return {"medvlsam2_finetune": task}

    def init_strategies(self) -> dict[str, Strategy]:
        """Strategies that choose the next scan. OHIF asks for ``random`` alone, so the best one has that name too."""
        value = ValueStrategy(self._engine, self._scans, self._config.candidates, self._data_dir() / SCORE_FILE)
        return {"medvlsam2_value": value, "random": value, "uniform_random": UniformRandom()}

    def infer(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Run one of the abilities. The host's own method would take an image's id for a path if such a file exists."""
        task = self._infers.get(request.get("model"))
        if task is None:
            raise HTTPException(404, self._no_such("model", str(request.get("model")), self._infers))
        checked = {**copy.deepcopy(dict(request)), "description": task.description}
        checked.pop(CHECKED, None)
        store = datastore or self.datastore()
        with errors_as_http():
            scan = known_image(request, store, self.sessions())
            tag = _result_tag(task, request.get("label_tag"))
            is_to_be_stored = fields.flag(request, "save_label")
            path = scan.path(store)
            if isinstance(task, ReportTask):
                checked[PRIOR] = self._priors.of(scan, path, fields.text(request, "prior"), store)
        checked |= {"image": path, "image_id": scan.name, "label_tag": tag, "save_label": is_to_be_stored}
        file, told = task(checked)
        label = file
        if is_to_be_stored and not scan.is_stored:
            told["warnings"].append(NOT_STORED)
        elif is_to_be_stored and file:
            label = store.save_label(scan.name, file, tag, {"model": request["model"], "params": told, OF_MODEL: True})
        return {"label": label, "tag": DefaultLabelTag.ORIGINAL, "file": file, "params": told}

    def next_sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Refuse an unknown strategy with a sentence."""
        strategy = request.get("strategy") or "random"
        if strategy not in self._strategies:
            raise HTTPException(404, self._no_such("strategy", strategy, self._strategies))
        return dict(super().next_sample(request))

    def on_init_complete(self) -> None:
        """Begin to list the series of the PACS and to send labels to it."""
        super().on_init_complete()
        if isinstance(store := self.datastore(), PacsDatastore):
            store.start()

    def on_save_label(self, image_id: str, label_id: str) -> None:
        """Log a short number: the host's own method would log the id of the image."""
        logger.info("A label of image %s was saved", short_id(image_id))

    @property
    def scans(self) -> ScanReader:
        """Reads scans and keeps the last few."""
        return self._scans

    def bundle_path(self, model: str | None) -> str:
        """Search path of a training's process. If it were empty, the host would take one that a client sends."""
        return self.app_dir

    def _load_sessions(self, load: bool = False) -> PrivateSessions | None:
        return PrivateSessions(settings.MONAI_LABEL_SESSION_PATH, settings.MONAI_LABEL_SESSION_EXPIRY) if load else None

    def _data_dir(self) -> Path:
        """Where files beside the scans go: the studies folder, or the cache of a remote datastore."""
        store = self._datastore
        return store.data_dir if isinstance(store, ScanFolder) else Path(store._datastore_path)

    def _model_of(self, name: str) -> tuple[str, str] | None:
        """Id and version of the model behind a name of a task; None for other names."""
        ours = name in self._infers or name == self._engine.model_id
        return (self._engine.model_id, self._engine.version) if ours else None

    @staticmethod
    def _no_such(what: str, name: str, known: Mapping[str, Any]) -> str:
        return f"There is no {what} '{name}'. {nearest_hint(name, known)} Allowed: {', '.join(known)}."


def _settings(conf: Mapping[str, str]) -> ServerSettings:
    """The settings of the app. The readers of scans take ``scan_mib`` from the environment, so it is written there."""
    found = read_for_app(conf, os.environ)
    if "scan_mib" in conf:
        os.environ[all_settings()["scan_mib"].variable] = str(found.scan_mib)
    return found


def _chosen_model(config: ServerSettings) -> Path:
    """Folder of the model that answers. The log says which one, and why it is not a better one."""
    chosen = choose_model(config.model, config.models)
    if chosen.passed_over:
        logger.warning("%s", chosen.passed_over)
    return chosen.folder


def _published_labels(model_dir: Path) -> dict[str, int]:
    """Names of the structures that a model knows, numbered from 1 as viewers need; empty if the model has no card."""
    try:
        card = json.loads((model_dir / "metadata.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        logger.warning("Model folder '%s' has no readable metadata.json: no structures are listed", model_dir.name)
        return {}
    names = dict.fromkeys(vocabulary.find(name).name for name in card.get("structures", ()))
    return {name: value for value, name in enumerate(names, start=1)}


def _result_tag(task: EngineTask, tag: str | None) -> str:
    """Tag under which a result is stored. A text has a tag of its own, because it must not replace a mask."""
    if isinstance(task, TextTask) and tag in (None, DefaultLabelTag.ORIGINAL.value, DefaultLabelTag.FINAL.value):
        return task.tag
    if tag == DefaultLabelTag.FINAL.value:
        raise InvalidRequest(
            "label_tag is 'final', the tag of what annotators submitted; results of the model go elsewhere. Leave it "
            "out, or give another, e.g. 'original'."
        )
    return require_new_tag(tag if tag is not None else DefaultLabelTag.ORIGINAL.value)
