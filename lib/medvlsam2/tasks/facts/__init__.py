"""The facts of a scan as the current model sees it: the masks that ``segment`` gives for a name alone, measured."""

from medvlsam2.tasks.facts.door import facts_of

__all__ = ["facts_of"]
