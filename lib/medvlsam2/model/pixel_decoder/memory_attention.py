"""SAM 2's attention to its memory, run by a given runner (plainly, or as a CUDA graph)."""

from __future__ import annotations

from jaxtyping import Float
from sam2.modeling.memory_attention import MemoryAttention
from torch import Tensor

from medvlsam2.model.device.cuda_graphs import Runner, run_plainly


class SliceMemoryAttention(MemoryAttention):
    """SAM 2's memory attention, with its computation as one step that a CUDA graph can capture."""

    run: Runner = staticmethod(run_plainly)

    def forward(
        self,
        curr: list[Float[Tensor, "hw b c"]],
        memory: Float[Tensor, "m b _"],
        curr_pos: list[Float[Tensor, "hw b c"]],
        memory_pos: Float[Tensor, "m b _"],
        num_obj_ptr_tokens: int = 0,
    ) -> Float[Tensor, "hw b c"]:
        """The embedding of a slice, conditioned on memory.

        Args:
            curr: the slice's embedding, the only entry.
            memory: features of other slices, and pointers to the object at the end.
            curr_pos: position codes of the slice.
            memory_pos: position codes of the memory.
            num_obj_ptr_tokens: number of pointers at the end of the memory.
        """
        (attended,) = self.run(self._attend, *curr, memory, *curr_pos, memory_pos, num_pointers=num_obj_ptr_tokens)
        return attended

    def _attend(
        self, curr: Tensor, memory: Tensor, curr_pos: Tensor, memory_pos: Tensor, *, num_pointers: int
    ) -> tuple[Tensor]:
        return (super().forward(curr, memory, curr_pos, memory_pos, num_pointers),)
