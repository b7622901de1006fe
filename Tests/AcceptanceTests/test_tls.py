"""TLS: protocols by ALPN, certificates replaced while it runs, clients' certificates, and files that cannot be used."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest

from peer import HEADERS, HTTP2Peer, Peer, wait_until
from server import BINARY, Server, free_port

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificates")
pytestmark = needs_openssl


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, **options).stdout


def authority(directory, name):
    """A new authority's key and certificate."""
    key, certificate = directory / f"{name}.key", directory / f"{name}.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
            "-out", certificate, "-days", 30, "-subj", f"/CN={name}")
    return key, certificate


def leaf(directory, name, signer, days=30, subject="localhost"):
    """A key, and a certificate that `signer` signed; with negative `days` it has expired."""
    key, request, certificate = (directory / f"{name}.{end}" for end in ("key", "csr", "pem"))
    names = directory / f"{name}.ext"
    names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request,
            "-subj", f"/CN={subject}")
    openssl("x509", "-req", "-in", request, "-CA", signer[1], "-CAkey", signer[0], "-CAcreateserial",
            "-out", certificate, "-days", days, "-extfile", names)
    return key, certificate


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two authorities, certificates of both, and what is wrong with others."""
    directory = tmp_path_factory.mktemp("tls")
    made = {"directory": directory, "ca": authority(directory, "ca"), "other": authority(directory, "other")}
    made["server"] = leaf(directory, "server", made["ca"])
    made["next"] = leaf(directory, "next", made["ca"], subject="next.localhost")
    made["expired"] = leaf(directory, "expired", made["ca"], days=-1)
    made["client"] = leaf(directory, "client", made["ca"], subject="a client")
    made["stranger"] = leaf(directory, "stranger", made["other"], subject="a stranger")
    locked = directory / "locked.key"
    openssl("ec", "-in", made["server"][0], "-aes256", "-passout", "pass:secret", "-out", locked)
    made["locked"] = locked
    (directory / "noise.pem").write_text("-----BEGIN CERTIFICATE-----\nnoise\n-----END CERTIFICATE-----\n")
    return made


def context(files, protocols=("h2", "http/1.1"), client=None):
    trusting = ssl.create_default_context(cafile=files["ca"][1])
    trusting.set_alpn_protocols(list(protocols))
    if client:
        trusting.load_cert_chain(client[1], client[0])
    return trusting


def arguments(pair):
    return ["--tls-cert", str(pair[1]), "--tls-key", str(pair[0])]


@pytest.fixture(scope="module")
def secure(files, tmp_path_factory):
    """A server of TLS whose certificate may be replaced."""
    directory = tmp_path_factory.mktemp("secure")
    pair = directory / "key.pem", directory / "cert.pem"
    for source, place in zip(files["server"], pair):
        shutil.copy(source, place)
    with Server(arguments=[*arguments(pair), "--head-timeout", "1s"], tls=context(files, ["http/1.1"])) as running:
        running.pair = pair
        yield running
        assert running.alive, running.log_text()


@pytest.mark.parametrize("flag, version", [("--http2", "2"), ("--http1.1", "1.1"), ("--http1.0", "1.1")])
def test_curl_speaks_what_alpn_chose(secure, files, flag, version):
    answer = subprocess.run(
        ["curl", "-sS", flag, "--cacert", files["ca"][1], "-w", "%{http_version} %{http_code}", "-o", "/dev/null",
         f"https://localhost:{secure.port}/livez", "--resolve", f"localhost:{secure.port}:127.0.0.1"],
        capture_output=True, text=True, check=True)
    assert answer.stdout == f"{version} 200"


@pytest.mark.parametrize("offered, chosen", [("h2,http/1.1", "h2"), ("http/1.1", "http/1.1"), ("http/1.1,h2", "h2")])
def test_openssl_sees_the_protocol_chosen(secure, files, offered, chosen):
    text = openssl("s_client", "-connect", f"127.0.0.1:{secure.port}", "-alpn", offered, "-CAfile", files["ca"][1],
                   "-servername", "localhost", input=b"").decode(errors="replace")
    assert f"ALPN protocol: {chosen}" in text and "Verify return code: 0 (ok)" in text


def test_without_alpn_the_first_bytes_decide(secure, files):
    trusting = ssl.create_default_context(cafile=files["ca"][1])
    with Peer(secure.port, tls=trusting) as peer:
        peer.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert peer.answer().status == 200
    with HTTP2Peer(secure.port, tls=trusting) as peer:
        peer.request(1)
        assert peer.until(HEADERS, 1)


def test_protocols_nobody_here_speaks_are_refused(secure, files):
    with pytest.raises(ssl.SSLError):
        Peer(secure.port, tls=context(files, ["spdy/3"]))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_of_tls(secure, files, version):
    pinned = context(files, ["http/1.1"])
    pinned.minimum_version = pinned.maximum_version = version
    with Peer(secure.port, tls=pinned) as peer:
        peer.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert peer.answer().status == 200


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_is_refused(secure, files):
    old = context(files, ["http/1.1"])
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        Peer(secure.port, tls=old)


def test_large_bodies_and_answers_pass(secure):
    secure.create("large")
    value = "x" * 900_000
    assert secure.append("large", value).status == 200
    assert secure.read_all("large")[0]["value"] == value


def test_plain_http_is_told_to_use_https(secure):
    with Peer(secure.port) as peer:
        peer.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        peer.answer().is_problem(400, "tls_required")


HELLO = bytes.fromhex("16030100")


@pytest.mark.parametrize("sent", [
    HELLO, HELLO + b"\xff" + b"\0" * 255, b"\x16\x03\x01\xff\xff" + b"\1" * 70_000, b"\x16" * 5000,
    b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\x15\x03\x01\x00\x02\x02\x28", b"\x80\x2e\x01\x00\x02"])
def test_garbage_in_the_handshake_ends_its_connection_alone(secure, sent):
    with Peer(secure.port) as peer:
        peer.send(sent)
        peer.end()
        peer.to_end()
        assert peer.ended
    assert secure.get("/livez").status == 200


def test_half_handshakes_are_given_up(secure, files):
    """A ClientHello, whole, and then nothing; and half of one."""
    hello = ssl.MemoryBIO()
    half = context(files).wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        half.do_handshake()
    sent = hello.read()
    peers = [Peer(secure.port) for _ in range(200)]
    begun = time.monotonic()
    for index, peer in enumerate(peers):
        peer.send(sent if index % 2 else sent[:len(sent) // 2])
    assert secure.get("/livez").status == 200
    for peer in peers:
        peer.to_end()
        assert peer.ended
        peer.socket.close()
    assert time.monotonic() - begun < 8


def test_noise_after_the_handshake_ends_its_connection_alone(secure, files):
    raw = socket.create_connection(("127.0.0.1", secure.port), timeout=5)
    wrapped = context(files, ["http/1.1"]).wrap_socket(raw, server_hostname="localhost")
    os.write(wrapped.fileno(), b"\x17\x03\x03\x00\x20" + b"\xaa" * 32)
    wrapped.settimeout(5)
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        if wrapped.recv(100) == b"":
            raise ConnectionResetError
    wrapped.close()
    assert secure.get("/livez").status == 200


def test_a_client_that_says_goodbye_still_gets_its_answer(secure, files):
    """close_notify is TLS's half-close."""
    with Peer(secure.port, tls=context(files, ["http/1.1"])) as peer:
        peer.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert peer.answer().status == 200
        assert peer.to_end() == b"" and peer.ended


# Reload

def serial(server, files):
    with Peer(server.port, tls=context(files, ["http/1.1"])) as peer:
        return peer.socket.getpeercert()["serialNumber"]


def replace(pair, source):
    for new, place in zip(source, pair):
        beside = place.with_suffix(".new")
        shutil.copy(new, beside)
        os.replace(beside, place)


def test_a_new_certificate_is_used_after_sighup_and_connections_go_on(secure, files):
    old = serial(secure, files)
    kept = Peer(secure.port, tls=context(files, ["http/1.1"]))
    replace(secure.pair, files["next"])
    secure.process.send_signal(signal.SIGHUP)
    assert wait_until(lambda: serial(secure, files) != old)
    kept.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert kept.answer().status == 200
    kept.socket.close()


@pytest.mark.parametrize("bad", ["expired", "noise"])
def test_a_certificate_that_cannot_be_used_leaves_the_old_one_in_force(secure, files, bad):
    old = serial(secure, files)
    if bad == "expired":
        replace(secure.pair, files["expired"])
    else:
        secure.pair[1].write_text((files["directory"] / "noise.pem").read_text())
    begun = len(secure.log_text())
    secure.process.send_signal(signal.SIGHUP)
    assert wait_until(lambda: "the old certificates stay in force" in secure.log_text()[begun:])
    assert serial(secure, files) == old


def test_a_new_certificate_is_found_without_a_signal(secure, files):
    old = serial(secure, files)
    fresh = leaf(files["directory"], "fresh", files["ca"])
    replace(secure.pair, fresh)
    assert wait_until(lambda: serial(secure, files) != old, 25)


# Clients' certificates

def test_only_clients_of_the_authority_are_let_in(fresh, files):
    server = fresh(*arguments(files["server"]), "--tls-client-ca", str(files["ca"][1]),
                   tls=context(files, ["http/1.1"], files["client"])).start()
    assert server.get("/livez").status == 200
    for client in (None, files["stranger"]):
        with pytest.raises((ssl.SSLError, ConnectionResetError, AssertionError)):
            with Peer(server.port, tls=context(files, ["http/1.1"], client)) as peer:
                peer.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                # In TLS 1.3 the client hears of its refusal when it reads.
                peer.answer()
    assert server.get("/livez").status == 200


# At start

def refused(*given):
    """What `millrace serve` says when it does not start."""
    ended = subprocess.run(
        [BINARY, "serve", "--data", "/nonexistent/never", "--listen", f"127.0.0.1:{free_port()}", *map(str, given)],
        capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert ended.returncode != 0
    return ended.stderr


@pytest.mark.parametrize("case, setting, words", [
    ("a key of another certificate", "--tls-key", "cannot use the private key"),
    ("a key with a passphrase", "--tls-key", "cannot use the private key"),
    ("a key that is no key", "--tls-key", "cannot use the private key"),
    ("an expired certificate", "--tls-cert", "expired on"),
    ("a certificate that is noise", "--tls-cert", "cannot use the certificate"),
    ("authorities that are noise", "--tls-client-ca", "cannot use the client authorities"),
    ("no such file", "--tls-cert", "cannot be read"),
    ("a certificate without a key", "--tls-cert", "without tls-key"),
])
def test_files_that_cannot_be_used_are_named_at_start(files, tmp_path, case, setting, words):
    key, certificate = files["server"]
    noise = files["directory"] / "noise.pem"
    given = {
        "a key of another certificate": arguments((files["next"][0], certificate)),
        "a key with a passphrase": arguments((files["locked"], certificate)),
        "a key that is no key": arguments((certificate, certificate)),
        "an expired certificate": arguments(files["expired"]),
        "a certificate that is noise": arguments((key, noise)),
        "authorities that are noise": [*arguments((key, certificate)), "--tls-client-ca", noise],
        "no such file": arguments((key, "/nonexistent/cert.pem")),
        "a certificate without a key": ["--tls-cert", certificate],
    }[case]
    said = refused(*given, "--data", tmp_path / "data")
    assert setting in said and words in said, said
