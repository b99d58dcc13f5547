"""What a request asks about one scan: its prompts are checked once and placed on the model's slices once.

Everything that follows (searches, label map, results) reads these placed prompts and checks nothing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from medvlsam2.tasks.answers.caveats import caveats
from medvlsam2.tasks.answers.compose import Composition
from medvlsam2.tasks.answers.geometry import known_keys
from medvlsam2.tasks.answers.stray import usable_clicks
from medvlsam2.tasks.engine.session import VolumeSession
from medvlsam2.tasks.masks.slice_prompts import PlacedPrompt, place
from medvlsam2.tasks.phrases.plain import plain
from medvlsam2.tasks.phrases.several import require_one
from medvlsam2.tasks.phrases.unclear import require_clear
from medvlsam2.tasks.prompts import ObjectPrompt


@dataclass(frozen=True)
class Asked:
    """The objects of a request; they are counted from 0, and object n has the value n + 1 in the label map.

    Args:
        objects: one for each prompt, without clicks that cannot be used.
        composition: which objects are parts of others.
        notes: sentences for the annotator about the prompts.
    """

    objects: tuple[PlacedPrompt, ...]
    composition: Composition
    notes: tuple[str, ...]

    @classmethod
    def of(cls, session: VolumeSession, prompts: Sequence[ObjectPrompt]) -> Asked:
        """Check the prompts and place them.

        Raises:
            InvalidPrompt: if a phrase without a place names several objects, or a prompt cannot be placed.
        """
        metadata = session.loaded.metadata
        kept = [usable_clicks(_plain(prompt), session.volume, known_keys(metadata)) for prompt in prompts]
        notes = [note for one in kept for note in one.notes]
        for prompt in (one.prompt for one in kept):
            if prompt.text is not None and not prompt.is_placed:
                require_clear(prompt.text)
                require_one(prompt.text)
            notes += caveats(prompt, metadata)
        objects = tuple(place(session.whole, one.prompt) for one in kept)
        return cls(objects, Composition.of([one.prompt for one in kept]), tuple(notes))

    @property
    def prompts(self) -> list[ObjectPrompt]:
        """The prompts of all objects."""
        return [one.prompt for one in self.objects]


def _plain(prompt: ObjectPrompt) -> ObjectPrompt:
    """The prompt without what software adds to names ("liver_1"); the object keeps the name that was written."""
    if prompt.text is None or plain(prompt.text) == prompt.text:
        return prompt
    return replace(prompt, text=plain(prompt.text), name=prompt.name or prompt.text.strip())
