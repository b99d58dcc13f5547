"""The host's request dictionaries as typed records.

Slicer and OHIF send what they please: keys may be null, leak from an earlier call, or hold a whole drop-down
list whose first item is meant. Here all of that becomes a few frozen records, or an error that names the
value.
No volume is known here: what needs one (a click outside of the scan) is checked by ``medvlsam2.tasks``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

from medvlsam2.data import vocabulary
from medvlsam2.errors import InvalidPrompt, InvalidRequest, UnknownStructure, nearest_hint
from medvlsam2.tasks.prompts import ObjectPrompt

Request = Mapping[str, Any]
PointIJK = tuple[float, float, float]
BoxIJK = tuple[int, int, int, int, int, int]
QuestionKind = Literal["short", "long", "multiple_choice"]

EXTENSIONS: Final = (".nrrd", ".seg.nrrd", ".nii.gz", ".nii")
"""Label maps that can be asked for with ``result_extension``."""

UNNAMED: Final = "object"
"""Name of a result that the annotator gave no name."""

_PLACEHOLDER = re.compile(r"^(segment[ _]?\d*|label[ _]?\d*|background|object|unknown.*)?$", re.IGNORECASE)
_TAG = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")


@dataclass(frozen=True)
class Target:
    """One object that is asked for, and the value it has in the result.

    OHIF maps values by the ids that the server publishes, Slicer by their order: a request that names ids
    gets those ids, any other gets 1..N.
    """

    value: int
    prompt: ObjectPrompt


@dataclass(frozen=True)
class Question:
    """A question about a scan."""

    text: str
    choices: tuple[str, ...]
    kind: QuestionKind | None


@dataclass(frozen=True)
class ResultForm:
    """How the client wants its label map."""

    extension: str
    compress: bool


def semantic(request: Request, labels: Mapping[str, int]) -> tuple[Target, ...]:
    """Structures chosen by ``label_prompt`` (ids), ``label``, ``labels`` or ``structures`` (names); else all.

    Slicer reads the values 1..N as the names that the reply lists; OHIF, which alone sends
    ``restore_label_idx``, reads any value as a published id.

    Raises:
        UnknownStructure: on a name that the vocabulary or the model does not know.
        InvalidPrompt: on an id that is not published.
    """
    ids = _ids(request.get("label_prompt"), labels)
    if ids:
        return tuple(_named(name, value) for name, value in ids)
    wanted = [name for key in ("label", "labels", "structures") for name in _names(request.get(key))]
    if not wanted:
        return tuple(_named(name, value) for name, value in labels.items())
    known = dict.fromkeys(_published_name(name, labels) for name in wanted)
    if "restore_label_idx" in request:
        return tuple(_named(name, labels[name]) for name in known)
    return tuple(_named(name, value) for value, name in enumerate(known, start=1))


def referring(request: Request) -> tuple[Target, ...]:
    """The phrase in ``prompt``.

    Raises:
        InvalidPrompt: if there is none.
    """
    phrase = text_option(request, "prompt")
    if not phrase:
        raise InvalidPrompt(
            f"The option 'prompt' is {request.get('prompt')!r}: there is no phrase to look for. "
            "Type one, e.g. 'the largest cyst in the right kidney'."
        )
    return (Target(1, ObjectPrompt(text=phrase, name=phrase)),)


def interactive(request: Request) -> tuple[Target, ...]:
    """Clicks (``foreground``, ``background``), a box (``roi``) and the segment's name (``label``).

    A name that says nothing to the model ("target 1") does not stand in the way of clicks or a box.

    Raises:
        InvalidPrompt: if none of them says anything.
    """
    name = text_option(request, "label")
    phrase = None if is_placeholder(name) else name
    foreground = _points("foreground", request.get("foreground"))
    background = _points("background", request.get("background"))
    box = slicer_box(request.get("roi"))
    if not foreground and box is None and phrase is None:
        raise InvalidPrompt(
            f"Nothing says what to segment: no foreground click, no box, and the segment is called '{name}'. "
            "Click into the object, draw a box, or name the segment after what it should hold."
        )
    prompt = ObjectPrompt(
        text=phrase if not (foreground or box) or is_understood(phrase) else None,
        points_ijk=foreground + background,
        point_labels=(1,) * len(foreground) + (0,) * len(background),
        box_ijk=box,
        name=name or UNNAMED,
    )
    return (Target(1, prompt),)


def class_and_points(request: Request, labels: Mapping[str, int]) -> tuple[Target, ...]:
    """OHIF's ``vista3d``: ``label_prompt`` ids, and ``points`` with ``point_labels`` for a single one.

    With several ids the points cannot belong to one of them: they are left over from an earlier call and are
    not used. Without ids the points stand for an unnamed object; without anything, all structures are meant.

    Raises:
        InvalidPrompt: on an unpublished id, a malformed point, or labels that do not match the points.
    """
    ids = _ids(request.get("label_prompt"), labels)
    if len(ids) > 1:
        return tuple(_named(name, value) for name, value in ids)
    points = _points("points", request.get("points"))
    if not points:
        return tuple(_named(name, value) for name, value in ids or labels.items())
    name, value = ids[0] if ids else (UNNAMED, 1)
    prompt = ObjectPrompt(
        text=name if ids else None,
        points_ijk=points,
        point_labels=_point_labels(request.get("point_labels"), len(points)),
        name=name,
    )
    return (Target(value, prompt),)


def question(request: Request) -> Question:
    """``question``, optional ``choices`` (a list, or one string separated by ``;`` or ``|``) and ``kind``.

    Raises:
        InvalidPrompt: if there is no question, or fewer than two choices.
        InvalidRequest: on an unknown kind.
    """
    text = text_option(request, "question")
    if not text:
        raise InvalidPrompt(
            f"The option 'question' is {request.get('question')!r}: there is nothing to answer. "
            "Type one, e.g. 'Is the liver visible?'."
        )
    choices = _choices(request.get("choices"))
    if len(choices) == 1:
        raise InvalidPrompt(
            f"The option 'choices' holds only '{choices[0]}'. Give at least two, separated by ';', or none."
        )
    return Question(text, choices, _kind(request))


def result_form(request: Request, image_path: str) -> ResultForm:
    """The file that the client wants; without a wish NIfTI for NIfTI, else uncompressed NRRD.

    Raises:
        InvalidRequest: on an extension that we do not write.
    """
    default = ".nii.gz" if image_path.endswith((".nii", ".nii.gz")) else ".nrrd"
    extension = text_option(request, "result_extension") or default
    if extension not in EXTENSIONS:
        raise InvalidRequest(f"result_extension '{extension}' cannot be written. Allowed: {', '.join(EXTENSIONS)}.")
    return ResultForm(extension, bool(request.get("result_compress")))


def label_tag(tag: Any) -> str:
    """A tag that is safe as the name of a folder.

    Raises:
        InvalidRequest: on anything but letters, digits, ``_`` and ``-``.
    """
    if not isinstance(tag, str) or not _TAG.match(tag):
        raise InvalidRequest(
            f"The label tag {tag!r} is not allowed. Use up to 64 letters, digits, '_' and '-', e.g. 'final'."
        )
    return tag


def text_option(request: Request, key: str) -> str:
    """A string option; of a drop-down list the first item; blank where it is absent or null.

    Raises:
        InvalidRequest: if it is neither.
    """
    value = request.get(key)
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequest(f"The option '{key}' is {value!r}; give a string.")
    return value.strip()


def slicer_box(roi: Any) -> BoxIJK | None:
    """Slicer's ``[i0, i1, j0, j1, k0, k1]`` (both ends inside, either order) as a half-open box.

    Raises:
        InvalidPrompt: if it is not six numbers.

    Example:
        >>> slicer_box([9, 2, 0, 4, 7, 7])
        (2, 10, 0, 5, 7, 8)
    """
    if roi is None or roi == []:
        return None
    if not isinstance(roi, list | tuple) or len(roi) != 6 or not all(map(_is_number, roi)):
        raise InvalidPrompt(
            f"The box 'roi' is {roi!r}; give six voxel indices [i0, i1, j0, j1, k0, k1], a pair per axis."
        )
    whole = [round(float(edge)) for edge in roi]
    pairs = [sorted(whole[axis : axis + 2]) for axis in (0, 2, 4)]
    (i0, i1), (j0, j1), (k0, k1) = pairs
    return i0, i1 + 1, j0, j1 + 1, k0, k1 + 1


def is_placeholder(name: str) -> bool:
    """Whether a segment's name is one that a viewer gives by itself, and says nothing of what it holds."""
    return _PLACEHOLDER.match(name) is not None


def is_understood(phrase: str | None) -> bool:
    """Whether the model knows what a phrase means."""
    try:
        return phrase is not None and ObjectPrompt(text=phrase).window() is not None
    except UnknownStructure:
        return False


def _named(name: str, value: int) -> Target:
    return Target(value, ObjectPrompt(text=name, name=name))


def _names(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, Mapping):
        value = list(value)
    if isinstance(value, str):
        value = re.split(r"[;,\n]", value)
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise InvalidRequest(f"Labels {value!r} are not names. Give a name or a list of names, e.g. ['liver'].")
    return [name.strip() for name in value if name.strip()]


def _published_name(name: str, labels: Mapping[str, int]) -> str:
    structure = vocabulary.find(name)
    if structure.name not in labels:
        raise UnknownStructure(
            f"'{name}' is not among the {len(labels)} structures that this model knows. "
            f"{nearest_hint(structure.name, labels)} GET /info/ lists them all; a free phrase goes to "
            "medvlsam2_referring."
        )
    return structure.name


def _ids(value: Any, labels: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    if value is None:
        return ()
    names = {number: name for name, number in labels.items()}
    given = value if isinstance(value, list | tuple) else [value]
    wanted = [number for number in given if number is not None]
    for number in wanted:
        if isinstance(number, bool) or not isinstance(number, int) or number not in names:
            raise InvalidPrompt(
                f"label_prompt holds {number!r}; allowed are the ids 1 to {len(names)} that GET /info/ lists."
            )
    return tuple((names[number], number) for number in dict.fromkeys(wanted))


def _points(key: str, value: Any) -> tuple[PointIJK, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise InvalidPrompt(f"'{key}' is {value!r}; give a list of clicks, each as [i, j, k] voxel indices.")
    return tuple(_point(key, number, point) for number, point in enumerate(value, start=1))


def _point(key: str, number: int, point: Any) -> PointIJK:
    if not isinstance(point, list | tuple) or len(point) != 3 or not all(map(_is_number, point)):
        raise InvalidPrompt(f"Click {number} of '{key}' is {point!r}; give three voxel indices [i, j, k].")
    i, j, k = (float(index) for index in point)
    return i, j, k


def _point_labels(value: Any, count: int) -> tuple[int, ...]:
    given = (1,) * count if value is None else value
    if not isinstance(given, list | tuple) or len(given) != count or any(flag not in (0, 1) for flag in given):
        raise InvalidPrompt(
            f"point_labels is {value!r} for {count} points; give a 1 (inside) or 0 (outside) for each point."
        )
    return tuple(int(flag) for flag in given)


def _choices(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    items: Iterable[Any] = re.split(r"[;|\n]", value) if isinstance(value, str) else cast("Sequence[Any]", value)
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise InvalidRequest(f"The option 'choices' is {value!r}; give a list of strings, or one with ';' between.")
    return tuple(item.strip() for item in items if item.strip())


def _kind(request: Request) -> QuestionKind | None:
    kind = text_option(request, "kind")
    if kind in ("", "auto"):
        return None
    if kind not in get_args(QuestionKind):
        raise InvalidRequest(f"The option 'kind' is '{kind}'. Allowed: auto, {', '.join(get_args(QuestionKind))}.")
    return cast(QuestionKind, kind)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
