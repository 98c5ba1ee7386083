"""The proxies' files in docs/examples, as they are but for ports, paths and the certificate, before two real webs."""

import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
import trustme

from core.health import proxies
from tests.faults.web_proxies import NAME, Caddy, Nginx, Proxy
from tests.servers import Postgres, System, free_port, listens, wait_until
from tests.worker.sink import Sink

pytestmark = [pytest.mark.redis, pytest.mark.postgres]

TOKEN = "ThisTokenOpensAnAccount"
LINKS = [f"{path}{TOKEN}/" for path in ("/signup/link/", "/signup/mute/", "/password-reset/MQ/")]


class Webs:
    """Two webs of one system, each of which can be restarted."""

    def __init__(self, system: System) -> None:
        self.system, self.ports = system, [free_port(), free_port()]
        self.running: dict[int, ExitStack] = {}

    def start(self, port: int) -> None:
        """Start a web, and wait until it answers."""
        self.running[port] = ExitStack()
        command = ("-m", "gunicorn", "core.wsgi", "-b", f"127.0.0.1:{port}")
        self.running[port].enter_context(self.system.start(f"web-{port}", *command))
        wait_until(lambda: listens(port), "gunicorn")
        assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=20).ok

    def stop(self, port: int) -> None:
        """End a web as systemd does, and wait until it has."""
        self.running.pop(port).close()


@pytest.fixture(scope="module")
def webs(postgres: Postgres, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webs]:
    sink, more = Sink(), {"SITE_URL": f"https://{NAME}", "TRUSTED_PROXIES": "1"}
    logs = tmp_path_factory.mktemp("webs")
    webs = Webs(System(database=postgres.migrated_database(), redis=redis_url, mail=sink, logs=logs, **more))
    try:
        for port in webs.ports:
            webs.start(port)
        yield webs
    finally:
        for port in list(webs.running):
            webs.stop(port)
        sink.close()


@pytest.fixture(params=[pytest.param(Nginx, marks=pytest.mark.nginx), pytest.param(Caddy, marks=pytest.mark.caddy)])
def proxy(request: pytest.FixtureRequest, webs: Webs, tmp_path: Path) -> Iterator[Proxy]:
    with request.param(webs.ports, tmp_path, trustme.CA()) as proxy:
        yield proxy


@pytest.mark.nginx
def test_a_restart_of_one_web_after_the_other_fails_no_request(webs: Webs, tmp_path: Path) -> None:
    """Pages are loaded and codes requested all the while. The second restart waits until nginx uses the first again."""
    over, answers = threading.Event(), list[tuple[str, int]]()

    def load(visitor: int) -> None:
        for number in range(1000):
            if over.is_set():
                return
            answers.append(("GET", proxy.request("GET", "/signup/").status_code))
            answers.append(("POST", proxy.ask_for_code(f"visitor-{visitor}-{number}@example.com").status_code))

    with Nginx(webs.ports, tmp_path, trustme.CA()) as proxy:
        with ThreadPoolExecutor(4) as pool, ExitStack() as stack:
            stack.callback(over.set)
            visitors = [pool.submit(load, number) for number in range(4)]
            for port in webs.ports:
                webs.stop(port)
                webs.start(port)
                before = len(proxy.logs())
                wait_until(lambda: f" 127.0.0.1:{port} " in proxy.logs()[before:], "a request to it")  # noqa: B023
        for visitor in visitors:
            visitor.result()
    assert set(answers) == {("GET", 200), ("POST", 202)}
    assert len(answers) > 50


@pytest.mark.nginx
def test_a_web_that_cannot_be_connected_to_fails_no_request(webs: Webs, tmp_path: Path) -> None:
    """As one whose host is cut off: it neither accepts nor refuses, here as its queue of connections is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, ExitStack() as stack:
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        with Nginx([silent.getsockname()[1], webs.ports[0]], tmp_path, trustme.CA()) as proxy:
            answers = [proxy.ask_for_code(f"patient-{number}@example.com").status_code for number in range(2)]
            assert answers == [202, 202]
            assert f"127.0.0.1:{silent.getsockname()[1]}, 127.0.0.1:{webs.ports[0]} " in proxy.logs()


def test_a_url_of_the_api_has_the_port(proxy: Proxy) -> None:
    """The proxy hands on the Host that the client sent."""
    url = proxy.ask_for_code("alice@example.com").json()["status_url"]
    assert url.startswith(f"https://{NAME}:{proxy.port}/api/captchas/")


@pytest.mark.parametrize("size", [65_537, 1_100_000])  # bytes: above what the API takes, and above 1 MiB
def test_a_body_that_is_too_large_is_refused_as_the_api_promises(proxy: Proxy, size: int) -> None:
    """By the web: the proxy takes more."""
    answer = proxy.request("POST", "/api/captchas/", data=b"{" * size, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (413, "application/problem+json")
    assert answer.json()["code"] == "too_large"


def test_the_web_sees_the_visitors_address_and_tls(proxy: Proxy, webs: Webs, settings) -> None:
    """Whatever the visitor invents, as the doctor does with `--url`."""
    settings.SECRET_KEY = webs.system.environment["SECRET_KEY"]
    headers = {
        proxies.HEADER: proxies.signer().sign("seen"),
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "http",
    }
    seen = proxy.request("GET", "/healthz", headers=headers).json()["seen"]
    assert (seen["client"], seen["forwarded"][-1], seen["secure"]) == ("127.0.0.1", "127.0.0.1", True)


def test_tls_has_authenticated_encryption_alone(proxy: Proxy) -> None:
    """nginx alone also has CBC, and with an RSA key ciphers without forward secrecy, which scanners of TLS report."""
    weak = ssl.create_default_context(cafile=str(proxy.folder / "authority.pem"))
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("ECDHE+AES:!AESGCM:!AESCCM")
    with socket.create_connection(("127.0.0.1", proxy.port)) as plain, pytest.raises(ssl.SSLError):
        weak.wrap_socket(plain, server_hostname=NAME)


def test_the_proxy_names_no_version(proxy: Proxy) -> None:
    """Neither in an answer of the web nor in its own."""
    for path in ("/signup/", "/metrics"):
        assert "/" not in proxy.request("GET", path).headers["Server"]


def test_no_header_moves_the_site_below_a_path(proxy: Proxy) -> None:
    """Else a rule of the proxy for /admin/ would not see /x/admin/."""
    assert proxy.request("GET", "/x/login/", headers={"SCRIPT_NAME": "/x"}).status_code == 404
    assert proxy.request("GET", "/login/", headers={"SCRIPT_NAME": "/x"}).status_code == 200


@pytest.mark.parametrize("name", ["X-Forwarded-Protocol", "X-Forwarded-Ssl"])
def test_no_other_header_about_tls_refuses_a_request(proxy: Proxy, name: str) -> None:
    """Each load balancer writes its own name and values beside X-Forwarded-Proto, or has them from a visitor."""
    for value in ("https", "off"):
        assert proxy.request("GET", "/login/", headers={name: value}).status_code == 200


def test_the_metrics_are_not_for_visitors(proxy: Proxy) -> None:
    """Not even with the token."""
    assert proxy.request("GET", "/metrics").status_code == 404


def test_no_log_of_the_proxy_has_a_token(proxy: Proxy) -> None:
    """Of a link that is opened, that is the Referer or in a query. Other paths are logged as they are."""
    for link in LINKS:
        assert proxy.request("GET", link).status_code < 500
        proxy.request("GET", f"/signup/?next={link}", headers={"Referer": link})
    proxy.request("GET", "/signup/")
    wait_until(lambda: '/signup/"' in proxy.logs(), "a line of the log")
    assert proxy.logs().count("/signup/link/...") == proxy.logs().count("/password-reset/...") == 1
    assert TOKEN not in proxy.logs()


@pytest.mark.parametrize(
    "kind", [pytest.param(Nginx, marks=pytest.mark.nginx), pytest.param(Caddy, marks=pytest.mark.caddy)]
)
def test_no_error_in_the_log_has_a_token(kind: type[Proxy], tmp_path: Path) -> None:
    """While no web answers."""
    with kind([free_port(), free_port()], tmp_path, trustme.CA()) as proxy:
        paths = [*LINKS, f"/api/captchas/{TOKEN}/", f"/api/captchas/{TOKEN}/resend/", "/signup/"]
        assert {proxy.request("GET", path).status_code for path in paths} == {502}
        wait_until(lambda: '/signup/"' in proxy.logs(), "a line of the log")
        assert "/signup/link/..." in proxy.logs()
        assert "/api/captchas/..." in proxy.logs()
        assert TOKEN not in proxy.logs()


@pytest.mark.parametrize(
    "kind", [pytest.param(Nginx, marks=pytest.mark.nginx), pytest.param(Caddy, marks=pytest.mark.caddy)]
)
def test_no_header_passes_for_one_of_the_proxy(kind: type[Proxy], tmp_path: Path) -> None:
    """In WSGI each of these is HTTP_X_FORWARDED_FOR. gunicorn leaves out those with an underscore, uWSGI does not."""
    forged = "203.0.113.9"
    with socket.create_server(("127.0.0.1", 0)) as web, kind([web.getsockname()[1]], tmp_path, trustme.CA()) as proxy:
        web.settimeout(20)
        names = ("X_Forwarded_For", "X-Forwarded_For", "x_forwarded-for")
        with ThreadPoolExecutor(1) as pool:
            visitor = pool.submit(proxy.request, "GET", "/login/", headers=dict.fromkeys(names, forged))
            connection = web.accept()[0]
            with connection:
                received = connection.recv(65_536).decode()
                connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            assert visitor.result().status_code == 204
    assert "X-Forwarded-For: 127.0.0.1" in received
    assert forged not in received


@pytest.mark.parametrize("length", ["Content-Length: 60000", "Transfer-Encoding: chunked"])
def test_bodies_that_never_come_stop_nobody(proxy: Proxy, length: str) -> None:
    """The proxy waits for a body, not a thread of the web: here more bodies than these webs have threads."""
    head = f"POST /login/ HTTP/1.1\r\nHost: {NAME}:{proxy.port}\r\n{length}\r\n"
    head += "Content-Type: application/x-www-form-urlencoded\r\n\r\n10\r\na"
    trusted = ssl.create_default_context(cafile=str(proxy.folder / "authority.pem"))
    with ExitStack() as stack:
        for _ in range(40):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port)))
            stack.enter_context(trusted.wrap_socket(plain, server_hostname=NAME)).sendall(head.encode())
        assert proxy.request("GET", "/signup/").status_code == 200
