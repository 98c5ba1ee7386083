"""`make demo`, driven over HTTP: it starts, serves a newcomer, stops, restarts on the same data."""

import html
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from signup.demo.__main__ import main
from tests.servers import ENVIRONMENT, ROOT, Visitor, free_port, listens, wait_until


@contextmanager
def demo(
    data: Path, port: int, *, path: str, lang: str = "en_US.UTF-8", encoding: str = "utf-8"
) -> Generator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "signup.demo", "--port", str(port)]
    environment = {**ENVIRONMENT, "PATH": path, "LANG": lang, "DEMO_DATA": str(data)}
    # As in the shell of a deployment, or of another project of Celery.
    environment |= {"DATABASE_URL_FILE": "/nowhere", "ALLOWED_HOSTS": "example.com", "BROKER_URL": "redis://x"}
    environment |= {"CELERY_LOADER": "django", "PYTHONIOENCODING": encoding}
    running = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()
        running.stdout.close()


def stop(running: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> str:
    """Press Ctrl-C; return all output. The demo must end by itself, with status 0."""
    running.send_signal(number)
    printed = running.communicate(timeout=30)[0]
    assert running.returncode == 0, printed
    return printed


def read_code(visitor: Visitor, address: str) -> str:
    def find() -> str | None:
        page = html.unescape(visitor.get("/demo/inbox/").text)
        found = re.search(rf">(\d{{4}}) is your Doorcode code</a><br><span class=\"hint\"><bdi>{address}", page)
        return found and found[1]

    return wait_until(find, f"a code for {address}")


@pytest.mark.parametrize("port", ["0", "65536", "-1", "abc", ""])
def test_a_port_that_is_none_is_refused(capsys, monkeypatch, port: str) -> None:
    """In one line."""
    monkeypatch.setattr(sys, "argv", ["demo", f"--port={port}"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.endswith("argument --port: give a number from 1 to 65535\n")


@pytest.mark.parametrize(
    "path", ["/nowhere", pytest.param(os.environ["PATH"], marks=pytest.mark.redis)], ids=["memory", "redis"]
)
def test_a_newcomer_registers_and_finds_the_account_again(tmp_path: Path, path: str) -> None:
    """On the embedded broker, and on Redis where the machine has one; in a folder of any name."""
    port, data = free_port(), tmp_path / "c++ 100%25 #1?"
    with demo(data, port, path=path) as running:
        wait_until(lambda: listens(port), "the demo")
        alice = Visitor(f"http://127.0.0.1:{port}")
        alice.post("/signup/", email="alice@example.com")
        fields = {"email": "alice@example.com", "captcha": read_code(alice, "alice@example.com")}
        assert alice.post("/signup/verify/", username="alice", password="correct horse b", **fields).status_code == 303
        mail = re.search(r'href="(/demo/inbox/[^"]+)"', alice.get("/demo/inbox/").text)[1]
        assert "unsafe-inline" not in alice.get(mail).headers["Content-Security-Policy"]
        assert fields["captcha"] in alice.get(mail + "html/").text
        bob = Visitor(f"http://127.0.0.1:{port}")
        bob.post("/signup/", email="bob@例子.中国")
        assert read_code(bob, "bob@例子.中国")
        for lost in ("/demo/inbox/nothing/", "/nowhere/"):
            assert alice.get(lost).status_code == 404
            assert "Check the address, or go to the start page" in alice.get(lost).text
        assert alice.get("/readyz").json()["status"] == "ok"
        printed = stop(running)
    assert f"http://127.0.0.1:{port}/signup/" in printed
    assert f"http://127.0.0.1:{port}/demo/inbox/" in printed
    assert fields["captcha"] not in re.findall(r"\d+", printed)
    assert "HTTP/1.1" not in printed  # an access log would hold the tokens of links
    assert "[warning" not in printed
    with demo(data, port, path=path, lang="zh_CN.UTF-8") as running:
        wait_until(lambda: listens(port), "the demo")
        again = Visitor(f"http://127.0.0.1:{port}")
        assert again.post("/login/", username="alice", password="correct horse b").status_code == 302
        assert "is your Doorcode code" in again.get("/demo/inbox/").text
        assert "Doorcode 已启动。" in stop(running, signal.SIGTERM)


@pytest.mark.redis
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_while_it_loads_leaves_no_redis(tmp_path: Path, number: signal.Signals) -> None:
    """It starts first, and in a session of its own, which no Ctrl-C reaches."""
    script, pid = tmp_path / "redis-server", tmp_path / "pid"
    script.write_text(f'#!/bin/sh\necho $$ >"{pid}"\nexec "{shutil.which("redis-server")}" "$@"\n')
    script.chmod(0o755)
    with demo(tmp_path, free_port(), path=f"{tmp_path}:{os.environ['PATH']}") as running:
        redis = int(wait_until(lambda: pid.exists() and pid.read_text(), "its Redis", pause=0.001))
        time.sleep(0.1)  # as long as a process takes to start; its parts take a second to load
        running.send_signal(number)
        printed = running.communicate(timeout=30)[0]
        assert (running.returncode, "Traceback" in printed) == (130, False)
        with pytest.raises(ProcessLookupError):
            os.kill(redis, 0)


def test_a_hundred_connections_may_come_at_once(tmp_path: Path) -> None:
    """They wait while the demo is busy, and none is reset."""
    port = free_port()
    with demo(tmp_path, port, path="/nowhere") as running, ExitStack() as connections:
        wait_until(lambda: listens(port), "the demo")
        running.send_signal(signal.SIGSTOP)
        for _number in range(100):
            connections.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))


def test_a_character_that_the_terminal_lacks_is_no_error(tmp_path: Path) -> None:
    """Nor the dots of "Stopping …"."""
    port = free_port()
    with demo(tmp_path, port, path="/nowhere", encoding="ascii") as running:
        wait_until(lambda: listens(port), "the demo")
        assert Visitor(f"http://127.0.0.1:{port}").get("/healthz").status_code == 200
        assert stop(running).endswith("\nStopping ?\n")


def test_a_port_that_cant_be_used_is_reported(tmp_path: Path) -> None:
    """In the operator's language, with the reason and a way out, and nothing stays behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        texts = f"Port {port} can't be used: Address already in use", f"无法使用端口 {port}：Address already in use"
        for lang, text in zip(("en_US.UTF-8", "zh_CN.UTF-8"), texts, strict=True):
            with demo(tmp_path, port, path="/nowhere", lang=lang) as running:
                printed = running.communicate(timeout=30)[0]
                assert running.returncode == 1
                assert text in printed
                assert "Traceback" not in printed
