"""A registration by the very lines of the docs, on the whole system."""

import json
import os
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.servers import ROOT, MailServer, Postgres, Redis, System

pytestmark = pytest.mark.redis

BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "how-to" / "api.md").read_text(), re.DOTALL)


def run(script: str, **environment: str) -> list[str]:
    """Run lines of the docs in a shell that stops at the first failure; return what they print."""
    env = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run(["bash", "-euc", script], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.curl
def test_the_curl_lines_of_the_docs_register_a_person(system: System) -> None:
    """Copied as they stand, but for the site and the code in the mail."""
    ask, register, sign_in, reset, change = BLOCKS
    state, handle = run(ask + '\necho; echo "$ID"', API=f"{system.url}/api")
    assert json.loads(state)["state"] in ("queued", "sending", "sent")
    code = system.mail.code("alice@example.com")
    setting = {"API": f"{system.url}/api", "ID": handle, "CODE": code, "JSON": "Content-Type: application/json"}
    (answer,) = run(register, **setting)
    assert json.loads(answer) | {"id": 0, "token": ""} == {
        "id": 0,
        "username": "alice",
        "email": "alice@example.com",
        "token": "",
    }
    assert len(json.loads(answer)["token"]) == 64
    (again,) = run(register, **setting)
    assert (json.loads(again)["code"], json.loads(again)["detail"]) == ("already_redeemed", "注册已完成，请登录")
    (me,) = run(sign_in, **setting)
    assert json.loads(me)["language"] == "zh-hans"
    (reset_asked,) = run(reset, **setting)
    assert "alice@example.com" in json.loads(reset_asked)["detail"]
    system.mail.wait_for("alice@example.com", number=2)
    (changed,) = run(change, **setting)
    assert json.loads(changed) | {"id": 0} == {**json.loads(me), "id": 0, "language": "zh-hant"}
    gone = {"username": "alice", "password": "another horse battery"}
    assert requests.post(f"{system.url}/api/login/", json=gone, timeout=30).status_code == 401


def test_parallel_calls_with_one_idempotency_key_are_one_request(system: System) -> None:
    """A client that gave up waiting and asks again, though its first call is still on its way."""
    email = "twins@example.com"

    def ask(_number: int) -> requests.Response:
        headers = {"Idempotency-Key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}
        return requests.post(f"{system.url}/api/captchas/", json={"email": email}, headers=headers, timeout=30)

    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(ask, range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    system.mail.code(email)
    assert len(system.mail.to(email)) == 1


@pytest.mark.postgres
def test_a_database_that_is_away_is_a_503_and_comes_back(tmp_path: Path) -> None:
    """With Retry-After, in the caller's language, also where only the token is looked up; nobody restarts anything."""
    headers = {"Accept-Language": "zh-TW", "Authorization": "Token " + "0" * 64}
    with Postgres() as postgres, Redis() as redis, MailServer() as mail:
        system = System(database=postgres.migrated_database(), redis=redis.url, mail=mail, logs=tmp_path)
        with system.run(worker=False):
            sign_ups, me = f"{system.url}/api/captchas/", f"{system.url}/api/users/me/"
            postgres.stop(signal.SIGINT)
            asked = requests.post(sign_ups, json={"email": "alice@example.com"}, headers=headers, timeout=30)
            for answer in (asked, requests.get(me, headers=headers, timeout=30)):
                assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert answer.json()["title"] == "服務暫時無法使用，請稍後再試"
            postgres.start()
            assert requests.get(me, headers=headers, timeout=30).status_code == 401
            again = requests.post(sign_ups, json={"email": "alice@example.com"}, headers=headers, timeout=30)
            assert again.status_code == 202
