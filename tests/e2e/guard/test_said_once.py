"""Nothing in a request is ignored silently: other bodies, unknown keys, repeated values, similar tags."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

INFER = "/infer/medvlsam2_semantic?image=copy0&output=json"
LABEL = "/datastore/label?image=copy0"


def sentence(reply: requests.Response, status: int) -> str:
    assert reply.status_code == status, reply.text[:300]
    told = str(reply.json()["detail"])
    assert told.endswith(".")
    return told


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", INFER),
        ("PUT", LABEL),
        ("PUT", "/datastore/image?image=other"),
        ("PUT", "/datastore/?image=other"),
        ("PUT", "/datastore/image/info?image=copy0"),
        ("PUT", "/datastore/label/info?label=copy0&tag=final"),
        ("PUT", "/datastore/updatelabelinfo?label=copy0&tag=final"),
        ("PUT", "/session/"),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded2", None])
def test_a_body_that_is_no_form_is_refused(target: Any, method: str, path: str, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    body = json.dumps({"label_prompt": [2]}).encode()
    told = sentence(requests.request(method, target.url + path, data=body, headers=headers, timeout=60), 415)
    assert "multipart/form-data" in told
    assert (kind or "no content type") in told


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/json"}])
def test_a_request_without_a_body_is_answered(target: Any, headers: dict[str, str]) -> None:
    assert requests.post(target.url + INFER, headers=headers, timeout=120).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "key"),
    [
        ("POST", f"{INFER}&params=%7B%22label_prompt%22%3A%5B2%5D%7D", "params"),
        ("POST", f"{INFER}&label_prompt=2", "label_prompt"),
        ("GET", "/datastore/?outputs=all", "outputs"),
        ("GET", "/info/?image=copy0", "image"),
        ("PUT", "/datastore/image/info?image=copy0&info=%7B%7D", "info"),
        ("POST", "/train/medvlsam2_finetune?max_epochs=1", "max_epochs"),
        ("DELETE", "/infer/medvlsam2_semantic?images=copy0", "images"),
    ],
)
def test_an_unknown_key_of_the_query_is_refused(target: Any, method: str, path: str, key: str) -> None:
    assert f"'{key}'" in sentence(requests.request(method, target.url + path, timeout=60), 400)


def test_an_unknown_field_of_a_form_is_refused(target: Any) -> None:
    for form in ({"data": {"label_prompt": "[2]"}}, {"files": {"scan": ("a.nii.gz", b"x")}}):
        sentence(requests.post(target.url + INFER, timeout=60, **form), 400)


def test_a_value_given_twice_is_refused(target: Any) -> None:
    twice = [("params", '{"label_prompt": [1]}'), ("params", '{"label_prompt": [2]}')]
    files = [("label", ("a.nii.gz", b"x")), ("label", ("b.nii.gz", b"y"))]
    assert "'params'" in sentence(requests.post(target.url + INFER, data=twice, timeout=60), 400)
    assert "'params'" in sentence(
        requests.post(target.url + INFER, files=[(key, (None, text)) for key, text in twice], timeout=60), 400
    )
    assert "'label'" in sentence(requests.put(target.url + LABEL, files=files, timeout=60), 400)
    for path in (f"{LABEL}&tag=final&tag=other", f"{LABEL}&image=copy1"):
        assert "2 times" in sentence(requests.put(target.url + path, files=files[:1], timeout=60), 400)


@pytest.mark.parametrize("tag", ["FINAL", "Final", "fiNal", "Original", "REPORT", "Vqa"])
def test_tags_that_differ_only_in_capitals(target: Any, tag: str) -> None:
    wanted = f"'{tag.casefold()}'"
    stored = {"save_label": True, "label_tag": tag}
    batch = f"{target.url}/batch/infer/medvlsam2_semantic"
    for reply in (
        target.infer("medvlsam2_semantic", "copy1", stored),
        target.infer("medvlsam2_report", "copy1", stored),
        requests.post(batch, json={"label_tag": tag}, timeout=60),
        requests.put(f"{target.url}{LABEL}&tag={tag}", files={"label": ("a.nii.gz", b"x")}, timeout=60),
    ):
        assert wanted in sentence(reply, 400)


def test_a_session_takes_the_fields_that_the_hosts_client_sends(target: Any, scan_bytes: bytes) -> None:
    files, fields = {"files": ("scan.nii.gz", scan_bytes)}, {"client_id": "ann", "expiry": 77}
    made = requests.put(f"{target.url}/session/", files=files, data=fields, timeout=60)
    assert (made.status_code, made.json()["session_info"]["expiry"]) == (200, 77)


CUT_OFF = b'--x\r\nContent-Disposition: form-data; name="params"\r\n\r\n{"label_prompt": [1]}\r\n'
FORM = "multipart/form-data; boundary=x"


@pytest.mark.parametrize("path", [INFER, LABEL, "/session/"])
def test_a_form_that_was_cut_off_is_refused(target: Any, path: str) -> None:
    method = "POST" if path == INFER else "PUT"
    headers = {"Content-Type": FORM}
    told = sentence(requests.request(method, target.url + path, data=CUT_OFF, headers=headers, timeout=60), 400)
    assert "end is missing" in told


@pytest.mark.parametrize("charset", ["punycode", "idna", "undefined", "utf-16", "latin-1"])
def test_another_charset_than_utf8_is_refused(target: Any, charset: str) -> None:
    """One of Python's codecs takes minutes for such a field, and others raise errors of their own types."""
    field = b'--x\r\nContent-Disposition: form-data; name="params"\r\n\r\n' + b"a-" * 500_000 + b"\r\n--x--\r\n"
    headers = {"Content-Type": f"{FORM}; charset={charset}"}
    told = sentence(requests.post(target.url + INFER, data=field, headers=headers, timeout=60), 415)
    assert charset in told


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (FORM, CUT_OFF.replace(b'{"label_prompt": [1]}', b'{"prompt": "\xff\xfe"}') + b"--x--\r\n"),
        ("application/x-www-form-urlencoded", b"params=%7B%22prompt%22%3A%22%ff%22%7D"),
    ],
)
def test_text_that_is_no_utf8_is_refused(target: Any, kind: str, body: bytes) -> None:
    reply = requests.post(target.url + INFER, data=body, headers={"Content-Type": kind}, timeout=60)
    assert "UTF-8" in sentence(reply, 400)
    assert "'\ufffd'" in sentence(requests.get(f"{target.url}/datastore/image?image=%ff", timeout=60), 400)


@pytest.mark.parametrize("name", ["li\x00ver", "liver\nspleen", "\u202eliver", "li\u200bver", "liver\u2028", "\ue000"])
@pytest.mark.parametrize("key", ["label", "labels", "structures", "selected_label_name", "label_info", "client_id"])
def test_names_with_characters_that_cannot_be_seen(target: Any, key: str, name: str) -> None:
    value: Any = {"labels": ["spleen", name], "structures": [name], "label_info": [{"name": name, "idx": 1}]}
    told = sentence(target.infer("medvlsam2_interactive", "copy0", {key: value.get(key, name)}), 400)
    assert f"'{key}'" in told
    assert name not in told


def test_a_phrase_may_have_two_lines_and_no_hidden_marks(target: Any) -> None:
    for question, status in (
        ("Is the liver\nvisible?", 200),
        ("Is the \u202eliver visible?", 400),
        ("Liver\x00?", 400),
    ):
        assert target.infer("medvlsam2_vqa", "copy0", {"question": question}, output="json").status_code == status


def test_an_option_without_effect_gives_a_warning(target: Any) -> None:
    body = {"name": "mine", "device": "cpu", "max_epochs": 1, "client_id": "ann"}
    try:
        for path, told in (("/train/medvlsam2_finetune?enqueue=true", None), ("/train/", "medvlsam2_finetune")):
            reply = requests.post(target.url + path, json=body, timeout=60).json()
            warnings = (reply[told] if told else reply)["warnings"]
            assert [words.split("'")[1] for words in warnings] == ["name", "device"]
        reply = requests.post(target.url + "/train/medvlsam2_finetune?enqueue=true", json={"max_epochs": 1}, timeout=60)
        assert "warnings" not in reply.json()
    finally:
        for _ in range(4):
            requests.delete(target.url + "/train/", timeout=60)
