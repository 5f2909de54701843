"""What a domain's web server publishes: nginx takes the configuration, and answers every program as it asks."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from profile_makers import LONG, host, means
from test_profiles_formats import pair

from mailprov import profiles
from mailprov.model import Domain, domain_of
from mailprov.providers import catalogue

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or shutil.which("nginx")
LONG_DOMAIN = domain_of(LONG)


def published(name: str = "example.com") -> profiles.Files:
    found = profiles.of_domain(Domain(name, ("mail1",)), profiles.servers(host()))
    assert found is not None
    return profiles.domain(found, means())


def hosted(provider: str) -> profiles.Files:
    its = catalogue()[provider]
    found = profiles.hosted.of_domain(Domain("x.cn", (), hosted_by=provider), its, profiles.hosted.servers(its))
    assert found is not None
    return profiles.domain(found, means())


def configuration(files: profiles.Files) -> str:
    (name,) = [name for name in files if name.endswith(".nginx.conf")]
    return files[name].decode()


def test_each_spelling_leads_to_the_file() -> None:
    text = configuration(published())
    pattern = re.search(r"location ~\* (\S+) \{", text)
    assert pattern is not None
    for path in ("autodiscover/autodiscover", "Autodiscover/Autodiscover", "AutoDiscover/AutoDiscover"):
        assert re.search(pattern[1], f"/{path}.xml", re.IGNORECASE)
        assert not re.search(pattern[1], f"/more/{path}.xml", re.IGNORECASE)
    assert text.count("{") == text.count("}")
    told = published()["example.com.txt"].decode()
    assert "/autodiscover/autodiscover.xml" in told and "/Autodiscover/Autodiscover.xml" in told


def test_nobody_is_sent_where_no_password_is_taken() -> None:
    files = hosted("microsoft365")
    assert not [name for name in files if name.startswith("autodiscover.")]
    assert "autodiscover" not in configuration(files) + files["x.cn.txt"].decode()
    assert b"<authentication>OAuth2</authentication>" in files["autoconfig.x.cn/mail/config-v1.1.xml"]


@pytest.fixture(params=["example.com", LONG_DOMAIN, "xn--fsqu00a.xn--55qx5d"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A domain's files where its configuration says, with another domain's beside; and nginx's own configuration."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    chain, key = pair(tmp_path, "ec")
    texts = []
    for name in (request.param, "other.example.org"):
        for path, content in published(name).items():
            (tmp_path / "www" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "www" / path).write_bytes(content)
        texts.append(configuration(published(name)))
    text = "\n".join(texts).replace("/srv/mail-settings", str(tmp_path / "www"))
    text = re.sub(r"(ssl_certificate) \S+;", rf"\1 {chain};", text)
    text = re.sub(r"(ssl_certificate_key) \S+;", rf"\1 {key};", text)
    text = text.replace("listen 443 ssl", f"listen unix:{tmp_path}/web ssl")
    folders = "".join(f"{name}_temp_path {tmp_path}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi"))
    main = tmp_path / "nginx.conf"
    main.write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/errors;\nevents {{}}\n"
        f"http {{ access_log off; scgi_temp_path {tmp_path}/scgi;\n{folders}{text}\n}}\n"
    )
    yield request.param, main


def test_nginx_takes_it(site: tuple[str, Path]) -> None:
    _, main = site
    done = subprocess.run((str(NGINX), "-t", "-c", str(main)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


def test_nginx_answers_each_program(site: tuple[str, Path], tmp_path: Path) -> None:
    name, main = site
    running = subprocess.Popen((str(NGINX), "-c", str(main)))
    try:
        for path, method in (
            *((f"/{each}.xml", "POST") for each in ("autodiscover/autodiscover", "Autodiscover/Autodiscover")),
            *((f"/{each}.xml", "GET") for each in ("autodiscover/autodiscover", "AutoDiscover/AutoDiscover")),
        ):
            status, head, body = _asked(tmp_path / "web", f"autodiscover.{name}", path, method)
            assert (status, b"<Autodiscover" in body) == (200, True), (path, method, status)
            assert "text/xml" in head
        status, head, body = _asked(tmp_path / "web", f"autoconfig.{name}", "/mail/config-v1.1.xml", "GET")
        assert (status, f"<domain>{name}<".encode() in body, "text/xml" in head) == (200, True, True)
        assert _asked(tmp_path / "web", f"autodiscover.{name}", "/mail/config-v1.1.xml", "GET")[0] == 404
    finally:
        running.terminate()
        running.wait(10)


def _asked(socket_file: Path, name: str, path: str, method: str) -> tuple[int, str, bytes]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for _ in range(50):
        try:
            plain = socket.socket(socket.AF_UNIX)
            plain.connect(str(socket_file))
            break
        except OSError:
            time.sleep(0.1)
    with context.wrap_socket(plain, server_hostname=name) as channel:
        content = "Content-Length: 2\r\n\r\n<>" if method == "POST" else "\r\n"
        channel.sendall(f"{method} {path} HTTP/1.0\r\nHost: {name}\r\n{content}".encode())
        answer = b"".join(iter(lambda: channel.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), body
