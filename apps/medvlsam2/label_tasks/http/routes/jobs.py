"""Training, batch inference and scoring over HTTP, each in a process of its own, one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException
from monailabel.interfaces.utils.app import app_instance

from label_tasks.http.bodies.json_text import json_body
from label_tasks.jobs import starter
from label_tasks.jobs.options import BATCH, SCORING, TRAIN, Parse, checked, not_used
from label_tasks.jobs.queue import JobQueue
from medvlsam2.data.reading.plain_names import shown
from medvlsam2.errors import InvalidRequest, UnknownImage, nearest_hint

Body = Annotated[dict[str, Any], Depends(json_body)]
Images = Literal["all", "labeled", "unlabeled"]


def queues() -> dict[str, JobQueue]:
    """A queue for each kind of job."""
    return {
        "train": JobQueue("train", "training", starter.start),
        "batch": JobQueue("batch_infer", "batch", starter.start),
        "scoring": JobQueue("scoring", "scoring", starter.start),
    }


def router(of_kind: Mapping[str, JobQueue]) -> APIRouter:
    """The routes of these queues."""
    routes = APIRouter()
    _add_state(routes, "/train/", of_kind["train"], "Train")
    _add_state(routes, "/batch/infer", of_kind["batch"], "Infer")
    _add_state(routes, "/scoring/", of_kind["scoring"], "Scoring")

    @routes.post("/train/", tags=["Train"], include_in_schema=False)
    async def train_all(body: Body, run_sync: bool = False) -> Any:
        """Start every training; OHIF asks for it so."""
        _refuse_sync(run_sync)
        trainers = app_instance()._trainers
        shared = {name: value for name, value in body.items() if name not in trainers}
        own = {model: _own(body, model) for model in trainers}
        wanted = {model: checked({**shared, **own[model]}, TRAIN) for model in trainers}
        return {
            model: _with_warnings(
                {"result": of_kind["train"].add({"model": model, **options}, may_wait=True), "detail": None},
                {**shared, **own[model]},
                TRAIN,
            )
            for model, options in wanted.items()
        }

    @routes.post("/train/{model}", tags=["Train"], summary="Fine-tune on the submitted labels")
    async def train(model: str, body: Body, run_sync: bool = False, enqueue: bool = False) -> Any:
        """Start a training; ``max_epochs`` is its only option."""
        _refuse_sync(run_sync)
        _require_known("trainer", model, app_instance()._trainers)
        return _with_warnings(
            of_kind["train"].add({"model": model, **checked(body, TRAIN)}, may_wait=enqueue), body, TRAIN
        )

    @routes.post("/batch/infer/{model}", tags=["Infer"], summary="Run one ability on many images")
    async def batch(model: str, body: Body, images: Images = "all", run_sync: bool = False) -> Any:
        """Start a batch; its results are stored under ``label_tag``, never under 'final'."""
        _refuse_sync(run_sync)
        _require_known("model", model, app_instance()._infers)
        options = {**checked(body, BATCH), "max_workers": 1, "multi_gpu": False, "device": "cpu", "logging": "INFO"}
        added = of_kind["batch"].add({"model": model, "images": images, **options}, may_wait=False)
        return _with_warnings(added, body, BATCH)

    @routes.post("/scoring/", tags=["Scoring"], include_in_schema=False)
    async def score_all(body: Body, run_sync: bool = False) -> Any:
        """Start every scoring."""
        _refuse_sync(run_sync)
        options = checked(body, SCORING)
        return {
            method: {"result": of_kind["scoring"].add({"method": method, **options}, may_wait=True), "detail": None}
            for method in app_instance()._scoring_methods
        }

    @routes.post("/scoring/{method}", tags=["Scoring"], summary="Run one scoring")
    async def score(method: str, body: Body, run_sync: bool = False) -> Any:
        """Start a scoring."""
        _refuse_sync(run_sync)
        _require_known("scoring method", method, app_instance()._scoring_methods)
        return of_kind["scoring"].add({"method": method, **checked(body, SCORING)}, may_wait=False)

    return routes


def _add_state(routes: APIRouter, path: str, jobs: JobQueue, tag: str) -> None:
    @routes.get(path, tags=[tag], summary="State of the newest job, or of all")
    async def state(all: bool = False, check_if_running: bool = False) -> Any:
        if check_if_running:
            found: Any = jobs.running()
        else:
            told = jobs.all()
            found = told if all else (told[-1] if told else None)
        if not found:
            raise HTTPException(404, f"There is no such job. POST {path.rstrip('/')}/… starts one.")
        return found

    @routes.delete(path, tags=[tag], summary="Stop the job that runs")
    async def stop() -> Any:
        return jobs.stop()


def _with_warnings(told: dict[str, Any], body: Mapping[str, Any], allowed: Mapping[str, Parse]) -> dict[str, Any]:
    warnings = not_used(body, allowed)
    return {**told, "warnings": warnings} if warnings else told


def _own(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    own = body.get(model) or {}
    if not isinstance(own, dict):
        raise InvalidRequest(f"The options of '{model}' are {shown(repr(own), 40)}; give an object.")
    return own


def _refuse_sync(run_sync: bool) -> None:
    if run_sync:
        raise InvalidRequest(
            "run_sync=true is not allowed: it would stop the server for everybody. Leave it out and ask for the "
            "state with GET."
        )


def _require_known(what: str, name: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        listed = ", ".join(known) or "none"
        raise UnknownImage(f"There is no {what} {shown(name)}. {nearest_hint(name, known)} Allowed: {listed}.")
