"""A registration by the very lines of the docs, on the whole system."""

import json
import os
import re
import subprocess

import pytest

from tests.servers import ROOT, System

pytestmark = [pytest.mark.redis, pytest.mark.curl]

BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "how-to" / "api.md").read_text(), re.DOTALL)


def run(script: str, **environment: str) -> list[str]:
    """Run lines of the docs in a shell that stops at the first failure; return what they print."""
    env = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run(["bash", "-euc", script], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_curl_lines_of_the_docs_register_a_person(system: System) -> None:
    """Copied as they stand, but for the site and the code in the mail."""
    ask, register, sign_in = BLOCKS
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
