"""People on a running line: what they do is carried out, and recorded with their name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from page_processes import paged_line, shows_parts
from people_pages import PASSWORD, ROOT, let_in, people_page
from support.brokers import wait_until
from support.chromium import Browser, browser

from edge_app.accounts.place import BY_HAND

START_S = 30.0


def test_a_persons_changes_reach_the_line_and_the_audit(tmp_path: Path) -> None:
    """A limit that takes effect, its undo, a pause and an account: each in the audit under the
    engineer's name; the parts of the line are in the history that the API reads."""
    with paged_line(tmp_path) as line:
        wait_until(lambda: shows_parts(line.url), START_S)
        folder = line.app._config.device.state_dir / BY_HAND
        assert folder.stat().st_mode & 0o777 == 0o700, "for `edge-app users --state`"
        with httpx.Client(base_url=line.url, timeout=20, trust_env=False) as eva:
            let_in(eva, line.app._config.device.state_dir / BY_HAND, "engineer")
            (old,) = eva.get("/api/v1/limits").json()["limits"]
            change = {
                "score_threshold": old["score_threshold"] * 1.5,
                "for_sha256": old["bundle_sha256"],
                "why": "new lamp, shift book page 40",
            }
            done = eva.post(f"/api/v1/limits/{old['slot']}", json=change)
            assert done.status_code == 200, done.text
            (new,) = eva.get("/api/v1/limits").json()["limits"]
            assert new["score_threshold"] == pytest.approx(change["score_threshold"])
            assert new["threshold_id"] != old["threshold_id"]
            undo = eva.post(f"/api/v1/limits/{old['slot']}/undo", json={"why": "lamp replaced"})
            assert undo.status_code == 200, undo.text
            wrong = eva.post(
                f"/api/v1/limits/{old['slot']}", json={**change, "for_sha256": "0" * 64}
            )
            assert wrong.status_code == 409
            paused = eva.post("/api/v1/pause", json={"minutes": 5, "why": "tool change"})
            assert paused.status_code == 200, paused.text
            assert eva.post("/api/v1/users", json={"name": "anna", "role": "viewer"}).is_success

            def recorded() -> dict[str, Any]:
                records = eva.get("/api/v1/audit").json()["records"]
                return {r["event"]: r for r in records if r["author"]["name"] == "engineer-1"}

            wait_until(lambda: "user_added" in recorded(), 40)
            found = recorded()
            for event in ("limit", "limit_undone", "pause", "user_added"):
                author = found[event]["author"]
                assert (author["kind"], author["name"], author["role"]) == (
                    "person", "engineer-1", "engineer",
                ), event  # fmt: skip
            parts = eva.get("/api/v1/parts?limit=5").json()["parts"]
            assert len(parts) == 5


def type_into(phone: Browser, form: str, **texts: str) -> None:
    for name, text in texts.items():
        phone.run(f"document.querySelector('{form}').elements['{name}'].value = {text!r}")


@pytest.mark.needs("chromium")
def test_an_engineer_begins_with_a_code_and_adds_a_person(tmp_path: Path) -> None:
    """On a phone: the code, a password that is typed differently first, the page of people, a new
    person's code; nothing is wider than the phone; logging out."""
    with (
        people_page(tmp_path / "page") as page,
        browser("chromium", tmp_path / "profile") as phone,
    ):
        code = page.directory.first_engineer_code(ROOT)
        phone.open(f"{page.url}/login")
        phone.wait_for("document.querySelector('#code-part')?.open")
        type_into(phone, "#code-form", code=code, name="eva", password=PASSWORD, again="other")
        phone.tap("#code-form button")
        phone.wait_for("document.querySelector('#outcome').textContent.includes('differ')")
        type_into(phone, "#code-form", again=PASSWORD)
        phone.tap("#code-form button")
        phone.wait_for("document.querySelector('#known').hidden === false")
        phone.tap("#to-users")
        phone.wait_for("document.querySelectorAll('#users .row').length === 1")
        type_into(phone, "#add-user", name="anna", role="operator")
        phone.tap("#add-user button")
        phone.wait_for("document.querySelector('#made').hidden === false")
        shown = phone.run("document.querySelector('#made-secret').textContent")
        assert phone.run("document.documentElement.scrollWidth <= innerWidth")
        page.redeemed(shown, "anna")
        phone.tap("#who")
        phone.wait_for("!!document.querySelector('#log-out')?.offsetParent")
        phone.tap("#log-out")
        phone.wait_for("document.querySelector('#stranger').hidden === false")
        phone.run("location.href = '/users'")
        phone.wait_for("document.querySelector('#outcome')?.textContent.includes('log in')")
        assert phone.run("document.querySelector('#lists').hidden")
