"""Run one step of each kind on a fake device, and print as JSON the places where a GPU would have to wait.

Run as a script, in a process of its own, since PyTorch never forgets a backend: ``fake_gpu.py MODEL_DIR CASE_DIR``.
Tensors on the fake device hold CPU tensors, so every value is real; what is checked is where operations find them.
"""

import json
import sys
import traceback
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "fakegpu"
READS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::repeat_interleave", "aten::equal"}
"""Operations whose result, or its shape, the host must wait for."""
BY_MASK = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
"""So do these, if the index is a mask."""


class GpuTensor(Tensor):
    """A CPU tensor that says that it is on the fake device."""

    @staticmethod
    def __new__(cls, held):
        tensor = Tensor._make_wrapper_subclass(cls, held.shape, strides=held.stride(), dtype=held.dtype, device=DEVICE)
        tensor.held = held
        return tensor

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise AssertionError(f"{function} outside of the mode")


class FakeGpu(TorchDispatchMode):
    """Runs what concerns the fake device on the CPU, and notes waits and mixtures of devices."""

    def __init__(self):
        super().__init__()
        self.waits = []
        self.mixtures = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        here = any(isinstance(leaf, GpuTensor) for leaf in leaves)
        wanted = torch.device(kwargs["device"]).type if kwargs.get("device") is not None else None
        if not here and wanted != DEVICE:
            return function(*args, **kwargs)
        name = function._schema.name
        moves = name in ("aten::_to_copy", "aten::copy_")
        if here:
            self._check(name, args, leaves, moves, wanted)
        if wanted == DEVICE:
            kwargs["device"] = torch.device("cpu")
        result = function(*tree_map(_held, args), **tree_map(_held, kwargs))
        if name == "aten::_local_scalar_dense" or (moves and wanted == "cpu"):
            return result
        if function._schema.is_mutable and args and isinstance(args[0], GpuTensor) and isinstance(result, Tensor):
            return args[0]
        return tree_map(lambda leaf: GpuTensor(leaf) if type(leaf) is Tensor else leaf, result)

    def _check(self, name, args, leaves, moves, wanted):
        by_mask = name in BY_MASK and any(
            isinstance(leaf, Tensor) and leaf.dtype == torch.bool for leaf in tree_leaves(args[1])
        )
        if name in READS or by_mask or (moves and wanted == "cpu"):
            self.waits.append(f"{name} in {_place()}")
        if not moves and any(leaf.ndim and not isinstance(leaf, GpuTensor) for leaf in leaves):
            self.mixtures.append(f"{name} in {_place()}")


def _held(leaf):
    return leaf.held if isinstance(leaf, GpuTensor) else leaf


def _empty(size, stride, *, dtype=None, **_):
    """A replacement of ``torch.tensor(values, device=...)``, which the dispatch mode does not see."""
    return GpuTensor(torch.empty_strided(size, stride, dtype=dtype))


def _copy(source, target, non_blocking=False):
    target.held.copy_(source)
    return target


def _place():
    """The nearest lines that are neither PyTorch's nor this file's."""
    frames = [f for f in traceback.extract_stack() if "/torch/" not in f.filename and f.filename != __file__]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[:-4:-1])


def move_there(model):
    """Parameters and buffers, as ``model.to`` would."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(GpuTensor(parameter.data), parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = GpuTensor(buffer)


def main(model_dir, case_dir):
    """Every kind of step, some of them several times, since they draw how they prompt."""
    from medvlsam2.model import checkpoint
    from medvlsam2.training.config import TrainConfig
    from medvlsam2.training.data.cases import load_case
    from medvlsam2.training.parts import set_trainable
    from medvlsam2.training.steps.base import Source
    from medvlsam2.training.steps.mix import STEPS
    from medvlsam2.training.teacher import Teacher

    loaded = checkpoint.load(Path(model_dir))
    teacher = Teacher(checkpoint.load(Path(model_dir)))
    config = TrainConfig(
        texts_per_step=2, volumes_per_step=2, cases_per_step=2, slices_per_case=3, slices_per_dense=3, clip_slices=3
    )
    source = Source(loaded.tokenizer, [load_case(Path(case_dir))], config, loaded.config.sam2, 1024, teacher)
    set_trainable(loaded.model.train(), 3)
    with FakeGpu():
        move_there(loaded.model)
    found = {}
    for name, kind in STEPS.items():
        record = found.setdefault(name, {"devices": [], "waits": [], "mixtures": []})
        for seed in range(6 if name in ("masks", "clip") else 1):
            rng = np.random.default_rng(seed)
            drawn = kind.draw(source, rng)
            with FakeGpu() as fake:
                result = drawn.to(torch.device(DEVICE)).run(loaded.model, loaded.tokenizer, rng)
            record["devices"] += [value.device.type for value in (result.loss, *result.parts.values())]
            record["waits"] += fake.waits
            record["mixtures"] += fake.mixtures
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    backend_registration._setup_privateuseone_for_python_backend(DEVICE)
    library = torch.library.Library("aten", "IMPL")
    library.impl("empty_strided", _empty, "PrivateUse1")
    library.impl("_copy_from", _copy, "PrivateUse1")
    main(*sys.argv[1:])
