"""Mail: only over a line whose certificate holds, tried again where that may help."""

from __future__ import annotations

import datetime as dt
import ssl
import threading
from contextlib import contextmanager
from email import message_from_string
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest

from crypto_bot.adapters.email import EmailChannel
from crypto_bot.operations import DeliveryFailed, Notice

NOTICE = Notice(
    event="run_failed",
    event_id="run-1",
    at="2026-01-01T00:00:00Z",
    data={"symbol": "BTC/USDT\r\nBcc: all@evil.example", "error": "no candles"},
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(secret + made.public_bytes(pem))
    return file


class MailServer:
    """What it offers, what it answers, and every word that came."""

    def __init__(self, certificate, *, has_tls=True, answers=None):
        self.certificate = certificate
        self.has_tls = has_tls
        self.answers = answers or {}
        self.words = []
        self.mails = []
        self.port = 0


@contextmanager
def mail_server(certificate, **more):
    told = MailServer(certificate, **more)

    class Handler(StreamRequestHandler):
        timeout = 10

        def say(self, text):
            self.wfile.write(f"{text}\r\n".encode())

        def handle(self):
            try:
                self.talk()
            except OSError:
                return
            finally:
                self.connection.close()

        def talk(self):
            is_private = False
            self.say("220 ready")
            while line := self.rfile.readline().decode().strip():
                verb = line.split()[0].upper()
                told.words.append((is_private, line))
                if verb in told.answers:
                    self.say(told.answers[verb])
                elif verb == "EHLO":
                    more = ["AUTH PLAIN"] if is_private else ["STARTTLS"] if told.has_tls else []
                    lines = ["localhost", *more]
                    for word in lines[:-1]:
                        self.say(f"250-{word}")
                    self.say(f"250 {lines[-1]}")
                elif verb == "STARTTLS":
                    self.say("220 go on")
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(told.certificate)
                    self.connection = context.wrap_socket(self.connection, server_side=True)
                    self.rfile = self.connection.makefile("rb")
                    self.wfile = self.connection.makefile("wb", 0)
                    is_private = True
                elif verb == "AUTH":
                    self.say("235 welcome")
                elif verb == "DATA":
                    self.say("354 go on")
                    mail = []
                    while (text := self.rfile.readline().decode()) != ".\r\n":
                        mail.append(text)
                    told.mails.append("".join(mail))
                    self.say("250 taken")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

    class Server(ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    server = Server(("127.0.0.1", 0), Handler)
    told.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def channel(told, *, believes=True, host="localhost", **more):
    tls = ssl.create_default_context(cafile=str(told.certificate)) if believes else None
    names = {"sender": "bot@example.org", "receivers": ["a@example.org", "b@example.org"]}
    return EmailChannel(
        host, told.port, **names, user="bot", password="p4ssword", timeout_s=5, tls=tls, **more
    )


def test_a_mail_says_what_happened_and_goes_over_tls_alone(certificate):
    with mail_server(certificate) as told:
        channel(told).deliver(NOTICE)
    (mail,) = told.mails
    read = message_from_string(mail)
    assert read["Subject"] == "crypto-bot: run failed BTC/USDT Bcc: all@evil.example"
    assert read["Bcc"] is None
    assert read["To"] == "a@example.org, b@example.org"
    assert read["X-CryptoBot-Delivery"] == "run-1"
    assert "no candles" in read.get_payload()
    open_words = [line.split()[0].upper() for is_private, line in told.words if not is_private]
    assert open_words == ["EHLO", "STARTTLS"]
    receivers = [line for _, line in told.words if line.upper().startswith("RCPT")]
    assert len(receivers) == 2


def test_a_text_that_is_given_is_the_mail(certificate):
    notice = NOTICE.replace(data={"text": "Line one\nLine two", "run_id": "r-1"})
    with mail_server(certificate) as told:
        channel(told).deliver(notice)
    read = message_from_string(told.mails[0])
    assert "Line one\r\nLine two" in read.get_payload()
    assert read["Subject"].endswith("r-1")


def test_without_starttls_nothing_is_said_and_nobody_logs_in(certificate):
    with (
        mail_server(certificate, has_tls=False) as told,
        pytest.raises(DeliveryFailed, match="must offer STARTTLS") as caught,
    ):
        channel(told).deliver(NOTICE)
    assert caught.value.is_final
    assert told.mails == []
    assert {line.split()[0].upper() for _, line in told.words} <= {"EHLO", "QUIT"}


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate):
    with (
        mail_server(certificate) as told,
        pytest.raises(DeliveryFailed, match="certificate of localhost must hold") as caught,
    ):
        channel(told, believes=False).deliver(NOTICE)
    assert caught.value.is_final
    assert not any(is_private for is_private, _ in told.words)


def test_a_certificate_of_another_name_is_refused(certificate):
    with (
        mail_server(certificate) as told,
        pytest.raises(DeliveryFailed, match=r"certificate of 127\.0\.0\.1 must hold"),
    ):
        channel(told, host="127.0.0.1").deliver(NOTICE)


@pytest.mark.parametrize(
    ("verb", "answer", "is_final"),
    [
        ("AUTH", "535 wrong password p4ssword", True),
        ("AUTH", "454 not now", False),
        ("MAIL", "451 later", False),
        ("RCPT", "550 no such box", True),
        ("RCPT", "450 box is busy", False),
        ("DATA", "554 refused", True),
    ],
)
def test_which_answers_are_worth_another_try(certificate, verb, answer, is_final):
    with (
        mail_server(certificate, answers={verb: answer}) as told,
        pytest.raises(DeliveryFailed, match="must take the mail, was") as caught,
    ):
        channel(told).deliver(NOTICE)
    assert caught.value.is_final == is_final
    assert answer[:3] in str(caught.value)
    assert "p4ssword" not in f"{caught.value} {channel(told)!r}"


def test_a_server_that_is_not_there_is_worth_another_try(certificate):
    with mail_server(certificate) as told:
        pass
    with pytest.raises(DeliveryFailed, match="must be reachable, was not") as caught:
        channel(told).deliver(NOTICE)
    assert not caught.value.is_final
