"""
The whole system in one process, to try it out: `make demo`, or `python -m signup.demo --port 8000`.
It needs nothing that is not in the venv. This module chooses the environment, `system` starts the parts.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

DATA = Path(__file__).resolve().parent.parent.parent / ".demo"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--port", type=_port, metavar="PORT", default=8000)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("DEMO_DATA") or DATA, help="where database and inbox are kept"
    )
    parser.add_argument("--settings", default="core.settings", help="those of a project with apps of its own")
    options = parser.parse_args()
    port, data = options.port, options.data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    with _redis(data) as url:
        return _run(options.settings, port, data, url)


def _stop(*_: object) -> NoReturn:
    """Not by KeyboardInterrupt: after one in an `exec`, as of a dataclass, Python ends without this exit status."""
    sys.exit(128 + signal.SIGINT)


def _run(settings: str, port: int, data: Path, redis: str) -> int:
    mail_port = _free_port()
    chosen = {
        "DJANGO_SETTINGS_MODULE": settings,
        "DEBUG": "true",
        "DEMO": "true",
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
        "SITE_URL": f"http://127.0.0.1:{port}",
        "DEMO_DATA": str(data),
        "DATABASE_URL": f"sqlite:///{quote(os.fsencode(data / 'doorcode.sqlite3'))}",
        "REDIS_URL": redis,
        "ALLOWED_HOSTS": "",
        "CELERY_BROKER_URL": "",  # the same
        "EMAIL_URL": f"smtp://127.0.0.1:{mail_port}",
    }
    os.environ.update(chosen)
    for name in (*(f"{name}_FILE" for name in chosen), "BROKER_URL", "CELERY_BROKER"):
        os.environ.pop(name, None)  # a deployment's, which would take precedence
    import django

    django.setup()
    from signup.demo import system  # only now: it needs the settings

    return system.run(port=port, mail_port=mail_port)


@contextmanager
def _redis(data: Path) -> Generator[str]:
    """The URL of a private Redis if the machine has one, so that the demo runs as production does; else in memory."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        yield "memory://"
        return
    port = _free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(data)]
    # In a session of its own, as Ctrl-C reaches the whole foreground group and Redis must stop last.
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    try:
        yield f"redis://127.0.0.1:{port}/0" if _listens(port) else "memory://"
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()


def _listens(port: int) -> bool:
    """Whether a port takes connections, within 5 s."""
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False


def _port(text: str) -> int:
    if not (text.isdecimal() and len(text) <= 5 and 0 < int(text) < 65_536):
        raise argparse.ArgumentTypeError("give a number from 1 to 65535")
    return int(text)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
