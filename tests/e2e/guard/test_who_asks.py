"""Requests belong to their client: other clients cannot end them, and a client that disconnects ends its own."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
import requests

SLOW = {"structures": ""}


def ask(target: Any, image: str, params: dict[str, Any], client: Any = requests, **query: str) -> requests.Response:
    return client.post(
        f"{target.url}/infer/medvlsam2_referring",
        params={"image": image, "output": "json", **query},
        data={"params": json.dumps(params)},
        timeout=180,
    )


def at_once(*calls: Any) -> list[Any]:
    results: list[Any] = [None] * len(calls)

    def run(number: int) -> None:
        results[number] = calls[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def browser(target: Any) -> requests.Session:
    session = requests.Session()
    session.get(f"{target.url}/info/", timeout=60)
    return session


def test_the_cookie_is_random_and_for_the_server_alone(target: Any) -> None:
    replies = [requests.get(f"{target.url}/info/", timeout=60) for _ in range(2)]
    values = {reply.cookies["medvlsam2_client"] for reply in replies}
    assert len(values) == 2
    assert all(len(value) >= 43 for value in values)
    told = replies[0].headers["set-cookie"]
    assert "HttpOnly" in told
    assert "SameSite=Strict" in told
    known = requests.get(f"{target.url}/info/", cookies={"medvlsam2_client": values.pop()}, timeout=60)
    assert "set-cookie" not in known.headers
    forged = requests.get(f"{target.url}/info/", cookies={"medvlsam2_client": "admin"}, timeout=60)
    assert forged.cookies["medvlsam2_client"] != "admin"


def test_one_content_under_four_ids_is_four_requests(target: Any) -> None:
    calls = [lambda n=n: ask(target, f"copy{n}", {"prompt": "spleen"}) for n in range(4)]
    assert [reply.status_code for reply in at_once(*calls)] == [200] * 4


def test_two_browsers_behind_one_address_are_two_clients(target: Any) -> None:
    both = [browser(target), browser(target)]
    calls = [lambda one=one: ask(target, "copy0", {"prompt": "liver", "client_id": "same"}, one) for one in both]
    assert [reply.status_code for reply in at_once(*calls)] == [200, 200]


@pytest.fixture
def slow_request(target: Any) -> Any:
    """A function that starts a request of many steps and waits until it runs."""

    def start(client: Any, **params: Any) -> tuple[threading.Thread, list[requests.Response]]:
        replies: list[requests.Response] = []

        def work() -> None:
            form = {"params": json.dumps({**SLOW, **params})}
            url = f"{target.url}/infer/medvlsam2_semantic?image=copy2&output=json"
            for _ in range(40):
                replies.append(client.post(url, data=form, timeout=180))
                if replies[-1].status_code != 200:
                    return

        thread = threading.Thread(target=work)
        thread.start()
        return thread, replies

    return start


def cancel_until(target: Any, thread: threading.Thread, client: Any, query: str = "") -> int:
    total = 0
    for _ in range(400):
        total += client.delete(f"{target.url}/infer/{query}", timeout=60).json()["cancelled"]
        if total and not thread.is_alive():
            break
        time.sleep(0.02)
    thread.join(timeout=60)
    return total


def test_a_client_cancels_its_own_request_and_no_other(target: Any, slow_request: Any) -> None:
    ann, eve = browser(target), browser(target)
    thread, replies = slow_request(ann, client_id="ann")
    time.sleep(0.3)
    for other in (eve, requests):
        for query in ("?client_id=ann", "medvlsam2_semantic?image=copy2&client_id=ann"):
            assert other.delete(f"{target.url}/infer/{query}", timeout=60).json() == {"cancelled": 0}
    assert cancel_until(target, thread, ann, "medvlsam2_semantic?image=copy2&client_id=ann") >= 1
    assert replies[-1].status_code == 409
    assert "cancelled" in replies[-1].json()["detail"]


def test_a_client_that_disconnects_ends_its_work(target: Any) -> None:
    """The log says that the request stopped, and that no answer was sent."""
    before = target.log.read_text(encoding="utf-8").count("stopped before its end")
    url = f"{target.url}/infer/medvlsam2_semantic?image=copy3&output=json"
    for number in range(40):  # a quick machine answers in less than the longest of these times
        try:
            requests.post(url, data={"params": "{}"}, timeout=0.15 / (1 + number % 8))
        except requests.Timeout:
            time.sleep(0.3)
            if target.log.read_text(encoding="utf-8").count("stopped before its end") > before:
                return
    pytest.fail("No request was stopped.")


def test_a_session_is_its_owners_alone(target: Any, scan_bytes: bytes) -> None:
    ann, eve = browser(target), browser(target)
    made = ann.put(f"{target.url}/session/", files={"files": ("s.nii.gz", scan_bytes)}, timeout=60).json()
    name = made["session_id"]
    assert len(name) == 32
    assert "path" not in made["session_info"]
    assert "image" not in made["session_info"]
    for other in (eve, requests):
        assert other.get(f"{target.url}/session/{name}", timeout=60).status_code == 404
        assert other.get(f"{target.url}/session/{name}?image=true", timeout=60).status_code == 404
        assert other.delete(f"{target.url}/session/{name}", timeout=60).status_code == 404
        url = f"{target.url}/infer/medvlsam2_report?session_id={name}"
        assert other.post(url, data={"params": "{}"}, timeout=60).status_code == 404
    assert ann.get(f"{target.url}/session/{name}", timeout=60).json()["name"] == name
    assert ann.get(f"{target.url}/session/{name}?image=true", timeout=60).content == scan_bytes
    url = f"{target.url}/infer/medvlsam2_report?session_id={name}&output=json"
    assert ann.post(url, data={"params": "{}"}, timeout=120).status_code == 200
    assert ann.delete(f"{target.url}/session/{name}", timeout=60).status_code == 200
    assert ann.get(f"{target.url}/session/{name}", timeout=60).status_code == 404


def test_a_program_without_cookies_uses_its_session(target: Any, scan_bytes: bytes) -> None:
    files = {"files": ("s.nii.gz", scan_bytes)}
    name = requests.put(f"{target.url}/session/", files=files, timeout=60).json()["session_id"]
    assert requests.get(f"{target.url}/session/{name}", timeout=60).status_code == 200
    folder = target.folder / "sessions"
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}
    session = requests.Session()
    name = session.put(f"{target.url}/session/", files=files, timeout=60).json()["session_id"]
    assert session.get(f"{target.url}/session/{name}", timeout=60).status_code == 200
