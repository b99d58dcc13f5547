"""Wordings of the questions on each topic: at least fifty per topic, one of which is canonical.

The language model is trained on these texts. A change of a text changes what the model learns.

Slots: ``{the}`` structure with its article, ``{is_}`` "is" or "are" and ``{does}`` "does" or "do" to agree with it,
``{a}`` finding with its article, ``{noun}`` and ``{nouns}`` finding without, ``{place}`` "in the left kidney",
``{options}`` "liver, spleen or kidney", ``{other}`` a second structure.
"""

from __future__ import annotations

from medvlsam2.data.language.wording import Wording

PRESENCE = Wording(
    "{is_} {the} visible?",
    (
        *("{is_} {the} visible{tail}?", "can {the} be seen{tail}?", "can you see {the}{tail}?"),
        *("{is_} {the} present{tail}?", "{is_} {the} shown{tail}?", "do you see {the}{tail}?"),
        *("{is_} {the} included{tail}?", "can {the} be identified{tail}?"),
        *("does this scan show {the}?", "does the field of view include {the}?", "do the images show {the}?"),
    ),
)
ORGAN = Wording(
    "which structure is visible: {options}?",
    (
        *("which structure is visible{tail}: {options}?", "which of these is visible{tail}: {options}?"),
        *("which organ can be seen{tail}: {options}?", "what can be seen{tail}: {options}?"),
        *("which one is present{tail}: {options}?", "which of these structures is shown{tail}: {options}?"),
        *("what is included{tail}: {options}?", "which structure does this scan show: {options}?"),
    ),
)
MISSING_ORGAN = Wording(
    "which structure is not visible: {options}?",
    (
        *("which structure is not visible{tail}: {options}?", "which of these is not visible{tail}: {options}?"),
        *("which structure cannot be seen{tail}: {options}?", "what cannot be seen{tail}: {options}?"),
        *("which one is missing{tail}: {options}?", "which of these structures is absent{tail}: {options}?"),
        *("what is not included{tail}: {options}?", "which structure does this scan not show: {options}?"),
    ),
)
REGION = Wording(
    "which part of the body is shown?",
    (
        *("which part of the body is shown{tail}?", "which body region is shown{tail}?"),
        *("what part of the body is imaged{tail}?", "which region of the body is seen{tail}?"),
        *("which body part is covered{tail}?", "what region is covered{tail}?"),
        *("which anatomical region is shown{tail}?", "which body region does this scan show?"),
        *("what part of the body was scanned?", "which part of the body does the image belong to?"),
    ),
)
PHASE = Wording(
    "what is the contrast phase?",
    (
        *("what is the contrast phase{tail}?", "which contrast phase is shown{tail}?"),
        *("which phase of contrast is seen{tail}?", "what phase of enhancement is seen{tail}?"),
        *("which phase of enhancement is shown{tail}?", "what contrast phase do you see{tail}?"),
        *("which contrast phase can be recognized{tail}?", "in which contrast phase was this scan acquired?"),
    ),
)
CONTRAST = Wording(
    "was intravenous contrast given?",
    (
        *("can you see intravenous contrast{tail}?", "is intravenous contrast visible{tail}?"),
        *("is there contrast in the vessels{tail}?", "do the vessels enhance{tail}?"),
        *("is contrast medium seen{tail}?", "are the vessels enhanced{tail}?", "is contrast present{tail}?"),
        *("is this a contrast-enhanced scan?", "was contrast medium given for this scan?"),
        *("was the scan made with contrast?", "was this CT acquired after intravenous contrast?"),
    ),
)
PLANE = Wording(
    "in which plane are the slices?",
    (
        *("in which plane are the slices{tail}?", "what is the plane of the slices{tail}?"),
        *("which plane is shown{tail}?", "what imaging plane is used{tail}?", "in what plane are the images{tail}?"),
        *("which plane do you see{tail}?", "what is the orientation of the slices{tail}?"),
        *("in which plane was this scan taken?", "what plane is this?"),
    ),
)
MODALITY = Wording(
    "what is the imaging modality?",
    (
        *("what is the modality{tail}?", "which imaging modality is used{tail}?"),
        *("which modality is shown{tail}?", "what type of imaging is used{tail}?"),
        *("what kind of imaging do you see{tail}?", "what imaging technique is used{tail}?"),
        *("which imaging method is used{tail}?", "which modality is this?", "how was this image taken?"),
        *("with which modality was the patient scanned?", "what kind of scan is this?"),
    ),
    tails=(
        "",
        " here",
        " in this study",
        " in this examination",
        " for this patient",
        " in this case",
        " in this image",
    ),
)
COMPARISON = Wording(
    "which is larger, {the} or {other}?",
    (
        *("which is larger{tail}, {the} or {other}?", "which is bigger{tail}, {the} or {other}?"),
        *("which one has the larger volume{tail}, {the} or {other}?", "what is larger{tail}, {the} or {other}?"),
        *("which of the two is larger{tail}, {the} or {other}?", "which side is larger{tail}, {the} or {other}?"),
        *("is {the} or {other} larger{tail}?", "is {the} or {other} bigger{tail}?"),
    ),
)
LESION_PRESENCE = Wording(
    "is there {a}?",
    (
        *("is there {a}{tail}?", "can you see {a}{tail}?", "do you see {a}{tail}?", "is {a} seen{tail}?"),
        *("is {a} visible{tail}?", "can {a} be seen{tail}?", "is {a} present{tail}?"),
        *("does this scan show {a}?", "is there any sign of {a}?", "does the patient have {a}?"),
    ),
)
SIZE = Wording(
    "how large is the {noun}?",
    (
        *("how large is the {noun}{tail}?", "how big is the {noun}{tail}?", "what does the {noun} measure{tail}?"),
        *("what is the size of the {noun}{tail}?", "what is the diameter of the {noun}{tail}?"),
        *("how many millimeters does the {noun} measure{tail}?", "what size is the {noun}{tail}?"),
        *("what is the largest diameter of the {noun}{tail}?", "please give the size of the {noun}."),
    ),
)
COUNT = Wording(
    "how many {nouns} are there {place}?",
    (
        *("how many {nouns} are there {place}{tail}?", "how many {nouns} do you see {place}{tail}?"),
        *("how many {nouns} are seen {place}{tail}?", "how many {nouns} are visible {place}{tail}?"),
        *("how many {nouns} can be counted {place}{tail}?", "what is the number of {nouns} {place}{tail}?"),
        *("how many {nouns} are present {place}{tail}?", "please count the {nouns} {place}."),
    ),
)
ABNORMALITY = Wording(
    "what is abnormal in {the}?",
    (
        *("what is abnormal in {the}{tail}?", "what abnormality is seen in {the}{tail}?"),
        *("which finding is seen in {the}{tail}?", "what is the finding in {the}{tail}?"),
        *("what is wrong with {the}{tail}?", "which abnormality do you see in {the}{tail}?"),
        *("what is the pathology in {the}{tail}?", "which abnormality does {the} show?"),
    ),
)
ANY_ABNORMALITY = Wording(
    "is any abnormality seen?",
    (
        *("is any abnormality seen{tail}?", "is there any abnormality{tail}?", "do you see any abnormality{tail}?"),
        *("is anything abnormal{tail}?", "is there anything abnormal{tail}?", "are there abnormal findings{tail}?"),
        *("can you see any pathology{tail}?", "is this scan abnormal?", "does this scan show any abnormality?"),
    ),
)
PLACE = Wording(
    "where {is_} the {nouns}?",
    (
        *("where {is_} the {nouns}{tail}?", "in which organ {is_} the {nouns}{tail}?"),
        *("in which structure {is_} the {nouns}{tail}?", "where can the {nouns} be seen{tail}?"),
        *("where {is_} the {nouns} located{tail}?", "which structure holds the {nouns}{tail}?"),
        *("what is the location of the {nouns}{tail}?", "which structure contains the {nouns}?"),
    ),
)
SIDE = Wording(
    "on which side {is_} the {nouns}?",
    (
        *("on which side {is_} the {nouns}{tail}?", "which side of the body holds the {nouns}{tail}?"),
        *("on what side of the body {is_} the {nouns}{tail}?", "{is_} the {nouns} left or right{tail}?"),
        *("{is_} the {nouns} on the left or the right{tail}?", "on which side can the {nouns} be seen{tail}?"),
        *("on which side {is_} the {nouns} located{tail}?", "which side of the patient shows the {nouns}?"),
    ),
)
