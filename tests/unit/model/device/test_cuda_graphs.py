"""Steps as CUDA graphs: capture and replay with a recorder in place of CUDA; on a GPU also the masks."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medvlsam2.data.volume import CTVolume
from medvlsam2.model.device import cuda_graphs
from medvlsam2.model.device.cuda_graphs import CudaGraphs, run_plainly
from medvlsam2.tasks.engine.engine import Engine
from medvlsam2.tasks.prompts import ObjectPrompt
from medvlsam2.tasks.segment import segment


class Recorder:
    """A graph that remembers the tensors its step read and wrote, and repeats the step on them."""

    captured: Recorder | None = None

    def __init__(self):
        self.again = None

    def capture_begin(self, **_):
        Recorder.captured = self

    def capture_end(self):
        Recorder.captured = None

    def replay(self):
        self.again()


@pytest.fixture
def graphs(monkeypatch):
    stream = SimpleNamespace(wait_stream=lambda _: None)
    for name, value in {
        "CUDAGraph": Recorder,
        "graph_pool_handle": lambda: (0, 0),
        "Stream": lambda _: stream,
        "current_stream": lambda _: stream,
        "stream": lambda _: nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return CudaGraphs(torch.device("cuda"))


class Doubling:
    """A step that counts how often the host ran it."""

    def __init__(self):
        self.runs = 0

    def step(self, tensor, other=None, *, plus=0):
        graph = Recorder.captured
        result = 2 * tensor + plus + (0 if other is None else other)
        if graph is not None:
            graph.again = lambda: result.copy_(2 * tensor + plus + (0 if other is None else other))
        self.runs += 1
        return (result,)


def test_a_step_runs_plainly_then_is_captured_and_then_runs_as_a_graph(graphs):
    one = Doubling()
    found = [graphs(one.step, torch.tensor([float(n)]))[0].item() for n in range(5)]
    assert found == [0, 2, 4, 6, 8]
    assert one.runs == 2


def test_a_later_replay_does_not_change_earlier_results(graphs):
    one = Doubling()
    results = [graphs(one.step, torch.tensor([float(n)]))[0] for n in range(4)]
    assert torch.cat(results).tolist() == [0, 2, 4, 6]


def test_a_replay_reads_its_own_copy_of_the_arguments(graphs):
    one, tensor = Doubling(), torch.tensor([1.0])
    for _ in range(2):
        graphs(one.step, tensor)
    tensor.fill_(100.0)
    assert graphs(one.step, torch.tensor([5.0]))[0].item() == 10
    assert tensor.item() == 100


@pytest.mark.parametrize(
    ("tensors", "options"),
    [
        ((torch.zeros(2),), {}),
        ((torch.zeros(1, dtype=torch.float64),), {}),
        ((torch.zeros(1), torch.ones(1)), {}),
        ((torch.zeros(1),), {"plus": 3}),
    ],
)
def test_other_shapes_kinds_and_options_get_their_own_graphs(graphs, tensors, options):
    one = Doubling()
    for _ in range(3):
        graphs(one.step, torch.ones(1))
    for _ in range(3):
        found = graphs(one.step, *tensors, **options)[0]
        torch.testing.assert_close(found, one.step(*tensors, **options)[0])
        one.runs -= 1
    assert one.runs == 4


def test_a_step_that_cannot_be_captured_runs_plainly(graphs, caplog):
    def step(tensor):
        if Recorder.captured is not None:
            raise RuntimeError("operation not permitted when stream is capturing")
        return (tensor + 1,)

    assert [graphs(step, torch.tensor([float(n)]))[0].item() for n in range(4)] == [1, 2, 3, 4]
    assert caplog.text.count("cannot be captured") == 1


def test_a_full_device_ends_the_capture_and_is_reported(graphs):
    def step(tensor):
        if Recorder.captured is not None:
            raise torch.OutOfMemoryError
        return (tensor,)

    graphs(step, torch.zeros(1))
    with pytest.raises(torch.OutOfMemoryError):
        graphs(step, torch.zeros(1))
    assert Recorder.captured is None


def test_the_graphs_that_were_used_longest_ago_are_forgotten(graphs):
    one, calls = Doubling(), 2 * cuda_graphs.KEPT_GRAPHS
    for plus in range(cuda_graphs.KEPT_GRAPHS):
        for _ in range(2):
            graphs(one.step, torch.zeros(1), plus=plus)
    graphs(one.step, torch.zeros(1), plus=0)
    for _ in range(2):
        graphs(one.step, torch.zeros(1), plus=-1)
    assert one.runs == calls + 2, "what was just used replays its graph"
    graphs(one.step, torch.zeros(1), plus=0)
    assert one.runs == calls + 2
    graphs(one.step, torch.zeros(1), plus=1)
    assert one.runs == calls + 3, "of the shapes used longest ago the graph is gone"


def test_an_engine_without_a_gpu_runs_steps_plainly(tiny_model_dir):
    engine = Engine(tiny_model_dir, "cpu")
    assert not engine.cuda_graphs
    assert engine.loaded().model.sam2.run is run_plainly


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU; CUDA graphs exist on one alone")
def test_masks_with_graphs_are_those_without(tiny_model_dir):
    hu = torch.from_numpy(np.random.default_rng(0).normal(0, 100, (64, 64, 24))).short().numpy()
    volume = CTVolume(hu, np.diag([1.0, 1.0, 3.0, 1.0]), "scan")
    prompts = [
        ObjectPrompt(points_ijk=((20.0 + n, 30.0, 12.0),), point_labels=(1,), name=f"object {n}") for n in range(3)
    ]
    plain, graphed = (Engine(tiny_model_dir, "cuda", cuda_graphs=one) for one in (False, True))
    expected = segment(plain, volume, prompts)
    for _ in range(3):
        found = segment(graphed, volume, prompts)
        assert np.array_equal(found.label_map, expected.label_map)
    run = graphed.loaded().model.sam2.run
    assert any(graph is not None for graph in run._graphs.values())
