"""What an annotator asks for: one object by words, clicks, scribbles, a box, a mask, or any mix of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Integer

from medvlsam2 import voxel_box
from medvlsam2.data import vocabulary
from medvlsam2.data.language.clinical import structures_in
from medvlsam2.data.structures.table import Window
from medvlsam2.errors import InvalidPrompt, UnknownStructure, nearest_hint
from medvlsam2.tasks.phrases.plain import plain
from medvlsam2.tasks.phrases.several import objects_in
from medvlsam2.tasks.phrases.unclear import short
from medvlsam2.voxel_box import BoxIJK, ShapeIJK

ON_OBJECT: Final = 1
"""Value of strokes on the object."""
BESIDE: Final = 2
"""Value of strokes beside it."""
MAX_PHRASE: Final = 1000
"""Characters of a phrase: a name has a few dozen, and a longer text is no prompt but a report."""


@dataclass(frozen=True)
class ObjectPrompt:
    """One object, named, described or pointed at.

    Args:
        text: a structure's name or a free phrase.
        points_ijk: clicks, voxel indices on the scan's grid.
        point_labels: 1 for a click on the object, 0 for one beside it.
        box_ijk: half-open voxel box (i0, i1, j0, j1, k0, k1) round the object.
        name: what to call the object; by default the text, or "object".
        scribbles: strokes on the scan's grid: 1 on the object, 2 beside it.
        mask: what the annotator has so far, drawn or corrected by hand, on the scan's grid.
        mask_slices: slices of the mask (indices along the scan's slice axis) that stay as they are. If none is given,
            some slices of the mask guide the model, and all may change.

    Raises:
        InvalidPrompt: if there is no prompt at all, the text is blank, or points and labels do not fit.
    """

    text: str | None = None
    points_ijk: tuple[tuple[float, float, float], ...] = ()
    point_labels: tuple[int, ...] = ()
    box_ijk: BoxIJK | None = None
    name: str | None = None
    scribbles: Integer[np.ndarray, "i j k"] | None = None
    mask: Bool[np.ndarray, "i j k"] | None = None
    mask_slices: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.text is not None and not self.text.strip():
            raise InvalidPrompt(
                f"The prompt {self.text!r} is empty. Name a structure, e.g. 'liver', or describe what to find."
            )
        if len(self.points_ijk) != len(self.point_labels):
            raise InvalidPrompt(
                f"{len(self.points_ijk)} points and {len(self.point_labels)} labels given. Give one label (1 or 0) "
                "for each point."
            )
        if not set(self.point_labels) <= {0, 1}:
            raise InvalidPrompt(f"Point labels {self.point_labels} given; allowed are 1 (object) and 0 (not object).")
        placed = self.is_placed
        if self.text is None and not placed and not self.points_ijk:
            raise InvalidPrompt(
                "The prompt is empty: it has no text, no point, no box, no stroke on the object and no mask. "
                "Give at least one of them."
            )
        if self.text is None and not placed:
            raise InvalidPrompt(
                f"The prompt has {len(self.points_ijk)} points, all beside the object. Add a click on the object."
            )

    def cut_to(self, shape_ijk: ShapeIJK) -> ObjectPrompt:
        """The prompt with its box cut to the scan: a box may be drawn beyond the scan's edge, but not beside the scan.

        Args:
            shape_ijk: of the scan.

        Raises:
            InvalidPrompt: if the box is empty, inverted, or wholly outside the scan.
        """
        box_ijk = self.box_ijk
        if box_ijk is None:
            return self
        if voxel_box.is_empty(box_ijk):
            raise InvalidPrompt(
                f"Box {box_ijk} is empty or inverted: each pair must be start < end (i0,i1,j0,j1,k0,k1; the end "
                "voxel is not part of the box). Swap or widen the pair."
            )
        inside = voxel_box.clipped(box_ijk, shape_ijk)
        if voxel_box.is_empty(inside):
            raise InvalidPrompt(
                f"Box {box_ijk} (i0,i1,j0,j1,k0,k1, half-open) lies outside the scan of shape {shape_ijk}. Draw it "
                "over the object."
            )
        return replace(self, box_ijk=inside)

    @property
    def is_placed(self) -> bool:
        """Whether a click on the object, a stroke, a box or a mask says where the object is."""
        drawn = self.scribbles is not None and bool((self.scribbles == ON_OBJECT).any())
        held = self.mask is not None and bool(self.mask.any())
        return drawn or held or self.box_ijk is not None or 1 in self.point_labels

    @property
    def display_name(self) -> str:
        """Name of the object in results."""
        if self.name:
            return self.name
        if self.text is None:
            return "object"
        known = vocabulary.lookup(self.text)
        return known.name if known else self.text.strip()

    @property
    def shown_name(self) -> str:
        """The display name, shortened for a sentence."""
        return short(self.display_name)

    @property
    def shown_words(self) -> str:
        """What the annotator wrote, shortened for a sentence."""
        return short((self.name or self.text or "object").strip())

    @property
    def is_understood(self) -> bool:
        """Whether there are words that mean exactly one thing of the vocabulary."""
        try:
            return self.text is not None and len(objects_in(plain(self.text))) == 1 and self.window() is not None
        except InvalidPrompt:
            return False

    def window(self) -> Window | None:
        """The window in HU for what the words name; None without words.

        Raises:
            InvalidPrompt: if the text is too long.
            UnknownStructure: if they name nothing that the vocabulary knows.
        """
        if self.text is None:
            return None
        if len(self.text) > MAX_PHRASE:
            raise InvalidPrompt(
                f"'{short(self.text.strip())}' has {len(self.text)} characters; at most {MAX_PHRASE} are allowed. Name "
                "one object, e.g. 'left kidney'."
            )
        words = plain(self.text)
        known = vocabulary.lookup(words)
        if known is not None:
            return known.window
        mentioned = [vocabulary.STRUCTURES[key] for key in structures_in(words)]
        if not mentioned and not any(vocabulary.lookup(word) for word in words.split()):
            names = vocabulary.names()
            raise UnknownStructure(
                f"'{short(self.text.strip())}' names no structure or finding that the model knows. "
                f"{nearest_hint(short(words.strip().lower()), names)} Use a structure's name, or a phrase that holds "
                "one, e.g. 'the cyst in the left kidney'."
            )
        return mentioned[0].window if mentioned else "soft"
