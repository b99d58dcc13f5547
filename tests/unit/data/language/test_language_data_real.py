"""Real questions: English and CT alone, cleaned, and never about the sides of the picture."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from medvlsam2.data.language import chat
from medvlsam2.data.language.real_questions import real_questions, real_sentences
from medvlsam2.errors import DatasetError


def slake(question: str, answer: str, **other: str) -> dict[str, str]:
    row = {"question": question, "answer": answer, "q_lang": "en", "modality": "CT", "content_type": "Organ"}
    return {**row, **other}


def vqa_med(image_name: str, question: str, answer: str) -> dict[str, str]:
    return {"image_name": image_name, "question": question, "answer": answer, "question_type": "MODALITY"}


def caption(text: str, *, ct: bool = True, split: str = "validation") -> dict[str, Any]:
    return {"caption": text, "ct": ct, "split": split}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(json.dumps(row) for row in rows) if ".jsonl" in path.name else json.dumps(rows)
    path.write_bytes(gzip.compress(lines.encode()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(
        tmp_path / "slake/train.json.gz",
        [
            slake("Does the picture contain liver ?", "Yes"),
            slake("Does the picture contain liver?", "Yes"),
            slake("What is the scanning plane of this image?", "Transverse  Plane", content_type="Plane"),
            slake("How many kidneys in this image?", "2"),
            slake("How many eyes in this image?", "0"),
            slake("Where is/are the abnormality located?", "Right Lung"),
            slake("Does the picture contain spleen?", ""),
            slake("图像中有肝脏吗?", "是", q_lang="zh"),
            slake("Does the picture contain heart?", "Yes", modality="X-Ray"),
            slake("What is the organ located in the lower left corner?", "Right Kidney"),
            slake("Where is the stomach in this image?", "Upper Right"),
            slake("Where is the abnormality?", "Lung, Left"),
        ],
    )
    write(
        tmp_path / "vqamed2019/trainset.json.gz",
        [
            vqa_med("a", "what kind of image is this?", "cta - ct angiography"),
            vqa_med("a", "what organ\tis shown?", "lung, mediastinum, pleura"),
            vqa_med("b", "is this a ct scan?", "no"),
            vqa_med("b", "what is abnormal?", "stroke"),
            vqa_med("c", "what is abnormal in the ct scan?", "empyema"),
            vqa_med("d", "was the mri taken with contrast?", "no"),
        ],
    )
    write(
        tmp_path / "roco/roco_ccby_captions.jsonl.gz",
        [
            caption("Axial CT of the pelvis showing a mass (white arrow), 3 × 4 cm in size"),
            caption("CT of the chest.The left lung is collapsed (a)."),
            caption("MRI of the brain showing a large mass.", ct=True),
            caption("Radiograph of the hip without fracture lines.", ct=False),
            caption("Preop CT."),
            caption("CT scan of the abdomen (with contrast medium given"),
            caption("CT scan of the neck showing a large goiter.", split="test"),
            caption("CT of the chest.The left lung is collapsed (a).", split="test"),
        ],
    )
    return tmp_path


def test_only_english_and_ct_is_taken_and_cleaned(folder: Path) -> None:
    found = list(real_questions(folder))
    assert [(each.question, each.answer) for each in found if each.kind == "short"] == [
        ("Does the picture contain liver?", "Yes"),
        ("What is the scanning plane of this image?", "axial"),
        ("How many kidneys in this image?", "two"),
        ("How many eyes in this image?", "none"),
        ("Where is/are the abnormality located?", "right lung"),
        ("What kind of image is this?", "CTA - CT angiography"),
        ("What organ is shown?", "lung, mediastinum, pleura"),
        ("What is abnormal in the CT scan?", "empyema"),
    ]
    assert [each.answer for each in found if each.kind == "long"] == [
        "Axial CT of the pelvis showing a mass, 3 x 4 cm in size.",
        "CT of the chest. The left lung is collapsed.",
    ]
    assert {each.topic for each in found} == {"organ", "plane", "modality", "description"}


def test_other_splits_are_kept_apart(folder: Path) -> None:
    write(folder / "slake/validate.json.gz", [slake("Is there a spleen?", "No")])
    write(folder / "vqamed2019/testset.json.gz", [])
    assert [each.answer for each in real_questions(folder, "val")] == [
        "No",
        "CT scan of the neck showing a large goiter.",
    ]


def test_sentences_are_whole_conversations_in_random_order(folder: Path) -> None:
    texts = list(real_sentences(folder, seed=0))
    assert len(texts) == len(list(real_questions(folder)))
    assert texts == list(real_sentences(folder, seed=0)) != list(real_sentences(folder, seed=1))
    question = "How many kidneys in this image? Answer in a few words."
    assert chat.conversation(question, "two", 0) in texts


def test_a_missing_file_is_told(folder: Path) -> None:
    (folder / "slake/train.json.gz").unlink()
    with pytest.raises(DatasetError, match=re.escape("slake/train.json.gz")):
        list(real_questions(folder))


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"no json")], ids=["no gzip", "no JSON"])
def test_a_broken_file_is_told(folder: Path, content: bytes) -> None:
    (folder / "slake/train.json.gz").write_bytes(content)
    with pytest.raises(DatasetError, match=re.escape("slake/train.json.gz")):
        list(real_questions(folder))


def test_the_real_corpora_are_read(shared_data: Path) -> None:
    found = list(real_questions(shared_data / "text"))
    assert len(found) > 1500
    kinds = Counter(each.kind for each in found)
    assert min(kinds["short"], kinds["long"]) > 400
    for each in found:
        assert each.question[0].isupper()
        assert each.question.endswith(("?", "."))
        assert each.answer
        assert not re.search(r"\s\s|\(arrow|\bcorner\b", f"{each.question} {each.answer}"), each
        assert not re.search(r"\bMRI\b", each.answer), each
    held_out = {each.answer for each in real_questions(shared_data / "text", "val") if each.kind == "long"}
    assert not held_out & {each.answer for each in found}
