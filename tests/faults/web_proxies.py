"""nginx and Caddy by their files in docs/examples, as they are but for addresses, ports, paths and the certificate."""

import re
import subprocess
from pathlib import Path
from typing import Any

import requests
import trustme

from tests.servers import HERE, ROOT, Host, Server, free_port

EXAMPLES = ROOT / "docs" / "examples"
NAME = "localhost"


class Proxy(Server):
    """A proxy with its file of docs/examples, for these webs; all that it writes is in a folder of its own."""

    def __init__(
        self, webs: list[int], folder: Path, authority: trustme.CA, *, name: str = NAME, host: Host = HERE
    ) -> None:
        super().__init__(host=host)
        self.webs, self.folder, self.name = [f"127.0.0.1:{port}" for port in webs], folder, name
        certificate = authority.issue_cert(name)
        certificate.private_key_pem.write_to_path(folder / "privkey.pem")
        for pem in certificate.cert_chain_pems:
            pem.write_to_path(folder / "fullchain.pem", append=True)
        authority.cert_pem.write_to_path(folder / "authority.pem")

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """As a visitor who trusts the certificate."""
        address, trusted = f"https://{self.name}:{self.port}{path}", str(self.folder / "authority.pem")
        return requests.request(method, address, verify=trusted, timeout=20, allow_redirects=False, **options)

    def ask_for_code(self, address: str) -> requests.Response:
        return self.request("POST", "/api/captchas/", json={"email": address})

    def logs(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("*.log"))


class Nginx(Proxy):
    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        text, folder = (EXAMPLES / "nginx" / "doorcode.conf").read_text(), self.folder
        [line] = re.findall(r"^ +server 127.0.0.1:8000 .*\n", text, re.MULTILINE)
        text = text.replace(line, "".join(line.replace("127.0.0.1:8000", web) for web in self.webs))
        text = re.sub(r"^ +listen \[::\].*\n", "", text, flags=re.MULTILINE)  # not every machine has IPv6
        text = text.replace("listen 443", f"listen {self.host.address}:{self.port}")
        text = text.replace("listen 80", f"listen {self.host.address}:{free_port()}")
        text = text.replace("server_name accounts.example.com", f"server_name {self.name}")
        text = re.sub(r"/var/log/nginx/|/etc/ssl/accounts.example.com/", f"{folder}/", text)
        bodies = "".join(
            f"{name}_temp_path {folder}; " for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        main = f"daemon off; user root; pid {folder}/pid; error_log {folder}/error.log; events {{}}"
        (folder / "nginx.conf").write_text(f"{main} http {{ {bodies}\n{text}\n}}")
        return ["nginx", "-c", folder / "nginx.conf"], {"stderr": subprocess.DEVNULL}


class Caddy(Proxy):
    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        text, folder = (EXAMPLES / "caddy" / "Caddyfile").read_text(), self.folder
        alone = f"admin off\nauto_https disable_redirects\nstorage file_system {folder}\n"
        text = text.replace("{\n", f"{{\n{alone}", 1)
        text = text.replace("log {\n", f"log {{\noutput file {folder}/caddy.log\n", 1)
        certificate = f"tls {folder}/fullchain.pem {folder}/privkey.pem"
        text = text.replace("accounts.example.com {", f"https://{NAME}:{self.port} {{\n{certificate}")
        text = text.replace("reverse_proxy 127.0.0.1:8000", f"reverse_proxy {' '.join(self.webs)}")
        (folder / "Caddyfile").write_text(text)
        return ["caddy", "run", "--config", folder / "Caddyfile"], {"stderr": subprocess.DEVNULL}
