"""The same code on RabbitMQ."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import MailServer, Postgres, Server, System, Visitor, free_port, wait_until

pytestmark = [pytest.mark.redis, pytest.mark.postgres, pytest.mark.rabbitmq]


class RabbitMQ(Server):
    """A broker of its own: its node, its port mapper, its folder."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="doorcode-mq-"))
        self.name = f"doorcode{self.port}@localhost"
        self.mapper = str(free_port())

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": self.mapper,
        }
        output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return ["/usr/lib/rabbitmq/bin/rabbitmq-server"], {"env": environment, "cwd": self.folder, **output}

    def __exit__(self, *exc: object) -> None:
        self.stop(signal.SIGTERM)
        subprocess.run(["epmd", "-port", self.mapper, "-kill"], capture_output=True)  # a daemon, which would stay
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def rabbit_system(postgres: Postgres, redis_url: str, tmp_path: Path) -> Iterator[System]:
    with RabbitMQ() as broker, MailServer() as mail:
        environment = {"database": postgres.migrated_database(), "redis": redis_url, "CELERY_BROKER_URL": broker.url}
        with System(mail=mail, logs=tmp_path, **environment).run() as running:
            yield running


def test_a_visitor_registers_over_rabbitmq(rabbit_system: System) -> None:
    """Workers are notified over it; nothing else changes."""
    alice, email = Visitor(rabbit_system.url), "alice@example.com"
    assert alice.post("/signup/", email=email).status_code == 303
    code = rabbit_system.mail.code(email)
    assert "worker.tasks.deliver" in rabbit_system.log("worker")
    fields = {"email": email, "captcha": code, "username": "alice", "password": "correct horse b"}
    wait_until(lambda: alice.get("/signup/status/").json()["state"] == "sent", "the record")
    assert alice.post("/signup/verify/", **fields).status_code == 303
    assert alice.get("/readyz").json()["checks"]["broker"] == "ok"
