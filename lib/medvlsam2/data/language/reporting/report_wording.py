"""Wordings of the sentences of a report: at least fifty for each kind of sentence, one of which is canonical.

The language model is trained on these texts. A change of a text changes what the model learns.

Slots: ``{a}`` finding with article and size, ``{noun}`` finding with its article alone, ``{size}`` "12 mm",
``{counted}`` "two left renal cysts", ``{most}`` "the larger", ``{the}`` structures with article, ``{is_}`` "is" or
"are", ``{contains}`` and ``{shows}`` in the number of the structure, ``{region}`` and ``{phase}`` of the scan.
"""

from __future__ import annotations

from medvlsam2.data.language.wording import Wording

_HERE = ("", " in this scan", " on this CT", " on these images", " in this study", " on the CT scan")

SINGLE = Wording(
    "there is {a}",
    (
        *("there is {a}{tail}", "{a} is seen{tail}", "{a} is present{tail}", "{a} is noted{tail}"),
        *("{a} is visible{tail}", "{a} is identified{tail}", "{a} is found{tail}", "{a} is demonstrated{tail}"),
        *("{a} can be seen{tail}", "findings include {a}", "{a} is depicted{tail}"),
    ),
    tails=_HERE,
)
MEASURED = Wording(
    "{noun} measures {size}",
    (
        *("{noun} measures {size}{tail}", "{noun} measuring {size} is seen{tail}"),
        *("{noun} of {size} is seen{tail}", "{noun} with a size of {size} is present{tail}"),
        *("{noun} is seen{tail}, measuring {size}", "there is {noun} of {size}{tail}"),
        *("there is {noun} measuring {size}{tail}", "{noun} measures up to {size}{tail}"),
        "{noun} is noted{tail} and measures {size}",
    ),
    tails=_HERE,
)
HELD = Wording(
    "{the} {contains} {a}",
    (
        *("{the} {contains} {a}{tail}", "{the} {shows} {a}{tail}", "in {the} there is {a}{tail}"),
        *("within {the} there is {a}{tail}", "in {the}, {a} is seen{tail}", "in {the}, {a} is present{tail}"),
        *("{a} is seen in {the}{tail}", "{a} is present in {the}{tail}", "{a} is noted in {the}{tail}"),
    ),
    tails=_HERE,
)
ENLARGED = Wording(
    "the {holder} is enlarged",
    (
        *("the {holder} is enlarged{tail}", "the {holder} appears enlarged{tail}", "{noun} is seen{tail}"),
        *("the {holder} is increased in size{tail}", "{noun} is present{tail}", "there is {noun}{tail}"),
        *("{noun} is noted{tail}", "there is enlargement of the {holder}{tail}", "{noun} is visible{tail}"),
    ),
    tails=_HERE,
)
SEVERAL = Wording(
    "there are {counted}, {most} measuring {size}",
    (
        *("there are {counted}{tail}, {most} measuring {size}", "{counted} are seen{tail}, {most} measuring {size}"),
        *("{counted} are present{tail}, {most} measuring {size}", "there are {counted}{tail}, up to {size} in size"),
        *("{counted} are noted{tail}, up to {size} in size", "{counted} are visible{tail}, {most} of {size}"),
        *("{counted} are identified{tail}, {most} measuring {size}", "{counted} are found{tail}, {most} of {size}"),
        "{counted} of up to {size} are seen{tail}",
    ),
    tails=_HERE,
)
SEVERAL_UNSIZED = Wording(
    "there are {counted}",
    (
        *("there are {counted}{tail}", "{counted} are seen{tail}", "{counted} are present{tail}"),
        *("{counted} are noted{tail}", "{counted} are visible{tail}", "{counted} are identified{tail}"),
        *("{counted} are found{tail}", "{counted} are demonstrated{tail}", "{counted} can be seen{tail}"),
    ),
    tails=_HERE,
)
NORMAL = Wording(
    "{the} {is_} normal",
    (
        *("{the} {is_} normal{tail}", "{the} {is_} unremarkable{tail}", "{the} {is_} within normal limits{tail}"),
        *("{the} {is_} of normal appearance{tail}", "{the} {is_} normal in appearance{tail}"),
        *("{the} {is_} without abnormality{tail}", "{the} {is_} free of abnormality{tail}"),
        *("{the} {appears} normal{tail}", "{the} {appears} unremarkable{tail}"),
    ),
    tails=_HERE,
)
VISIBLE = Wording(
    "{the} {is_} visible",
    (
        *("{the} {is_} visible{tail}", "{the} {is_} seen{tail}", "{the} {is_} shown{tail}"),
        *("{the} {is_} included{tail}", "{the} {is_} identified{tail}", "{the} {is_} depicted{tail}"),
        *("{the} can be seen{tail}", "the scan shows {the}", "{the} can be identified{tail}"),
        "{the} {is_} covered{tail}",
    ),
    tails=_HERE,
)
ABSENT = Wording(
    "{the} {is_} not seen",
    (
        *("{the} {is_} not seen{tail}", "{the} {is_} absent{tail}", "{the} {is_} not visible{tail}"),
        *("{the} {is_} not present{tail}", "{the} {is_} not identified{tail}", "{the} {is_} not shown{tail}"),
        *("{the} {is_} missing{tail}", "{the} {is_} not found{tail}", "there is no {name}{tail}"),
        *("no {name} is seen{tail}", "no {name} in this volume"),
    ),
    tails=_HERE,
)

_OF_REGION = (
    *("CT of the {region}{tail}", "CT scan of the {region}{tail}", "spiral CT of the {region}{tail}"),
    *("CT examination of the {region}{tail}", "computed tomography of the {region}{tail}"),
    *("CT series of the {region}{tail}", "CT study of the {region}{tail}", "CT images of the {region}{tail}"),
    *("helical CT of the {region}{tail}", "multidetector CT of the {region}{tail}"),
)
TECHNIQUE = Wording(
    "CT of the {region}",
    _OF_REGION,
    tails=("", " with axial slices", " in the axial plane", ", axial slices", ", axial plane"),
)
PLAIN_TECHNIQUE = Wording(
    "CT of the {region} without contrast",
    (*_OF_REGION, "non-contrast CT of the {region}", "unenhanced CT of the {region}", "plain CT of the {region}"),
    tails=(
        *(" without contrast", " without intravenous contrast", " without contrast medium"),
        *(", unenhanced", ", non-contrast"),
    ),
)
CONTRAST_TECHNIQUE = Wording(
    "CT of the {region} in the {phase} phase",
    (*_OF_REGION, "contrast-enhanced CT of the {region} in the {phase} phase", "{phase} phase CT of the {region}"),
    tails=(
        *(" in the {phase} phase", " with contrast in the {phase} phase", ", {phase} phase"),
        *(" after contrast in the {phase} phase", " after intravenous contrast, {phase} phase"),
    ),
)
NOTHING_FOUND = Wording(
    "no abnormality detected",
    (
        *("no abnormality detected{tail}", "no abnormality{tail}", "no focal abnormality{tail}"),
        *("normal CT", "no acute abnormality{tail}", "unremarkable CT", "no focal lesion{tail}"),
        *("no abnormal finding{tail}", "no significant abnormality{tail}", "no pathological finding{tail}"),
        "nothing abnormal is seen{tail}",
    ),
    tails=_HERE,
)

KINDS = {
    "single": SINGLE,
    "measured": MEASURED,
    "held": HELD,
    "enlarged": ENLARGED,
    "several": SEVERAL,
    "several unsized": SEVERAL_UNSIZED,
    "normal": NORMAL,
    "visible": VISIBLE,
    "absent": ABSENT,
    "technique": TECHNIQUE,
    "plain technique": PLAIN_TECHNIQUE,
    "contrast technique": CONTRAST_TECHNIQUE,
    "nothing found": NOTHING_FOUND,
}
