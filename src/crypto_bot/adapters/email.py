"""Mail over STARTTLS: the certificate is checked, and nothing is said before the line is private."""

from __future__ import annotations

import json
import logging
import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage

from crypto_bot.operations import DeliveryFailed, Notice

_LOG = logging.getLogger(__name__)


class EmailChannel:
    """Mails notices through one server.

    Parameters
    ----------
    host, port           the mail server; it must offer STARTTLS
    sender, receivers    addresses
    user, password       login, only over TLS; no user = none
    timeout_s            of each word of the conversation
    tls                  whose certificates are believed; the system's unless told

    Notes
    -----
    A 4xx answer and a connection that fails are worth another try; a 5xx, a certificate that does not
    hold and a server without STARTTLS are final.
    """

    name = "email"

    def __init__(
        self,
        host: str,
        port: int,
        *,
        sender: str,
        receivers: Sequence[str],
        user: str = "",
        password: str = "",
        timeout_s: float = 10.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._sender = sender
        self._receivers = list(receivers)
        self._user = user
        self._password = password
        self._timeout_s = timeout_s
        self._tls = tls

    def __repr__(self) -> str:
        return f"EmailChannel({self._host!r}, {self._port})"

    def deliver(self, notice: Notice) -> None:
        """Send it to every receiver; DeliveryFailed where the server does not take it."""
        message = self._message(notice)
        try:
            self._send(message)
        except ssl.SSLCertVerificationError as error:
            raise DeliveryFailed(
                f"certificate of {self._host} must hold, did not: {error.verify_message}",
                is_final=True,
            ) from None
        except smtplib.SMTPNotSupportedError:
            raise DeliveryFailed(
                f"{self._host} must offer STARTTLS (and a login, if one is set), did not; "
                "nothing was said to it",
                is_final=True,
            ) from None
        except smtplib.SMTPException as error:
            code = _code(error)
            raise DeliveryFailed(
                f"{self._host} must take the mail, was {code or type(error).__name__}",
                is_final=code >= 500,
            ) from None
        except OSError as error:
            raise DeliveryFailed(
                f"{self._host} port {self._port} must be reachable, was not: "
                f"{error.strerror or type(error).__name__}"
            ) from None

    def _send(self, message: EmailMessage) -> None:
        tls = self._tls or ssl.create_default_context()
        with smtplib.SMTP(self._host, self._port, timeout=self._timeout_s) as server:
            server.starttls(context=tls)
            if self._user:
                server.login(self._user, self._password)
            refused = server.send_message(message)
        if refused:  # some got it: another try would tell them twice
            _LOG.warning("mail to %d of %d was refused", len(refused), len(self._receivers))

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = ", ".join(self._receivers)
        message["Subject"] = _line(f"crypto-bot: {notice.event.replace('_', ' ')}", notice)
        message["X-CryptoBot-Delivery"] = " ".join(notice.event_id.split())
        message.set_content(_words(notice))
        return message


def _line(head: str, notice: Notice) -> str:
    """A subject: what happened and to whom, without line breaks."""
    subject = notice.data.get("symbol") or notice.data.get("run_id") or ""
    return " ".join(f"{head} {subject}".split())[:200]


def _words(notice: Notice) -> str:
    told = notice.data.get("text")
    body = told if isinstance(told, str) else json.dumps(notice.data, indent=2, sort_keys=True)
    return f"{notice.at} {notice.event} ({notice.event_id})\n\n{body}\n"


def _code(error: smtplib.SMTPException) -> int:
    """The server's answer; of several refused receivers the mildest, 0 where there was none."""
    if isinstance(error, smtplib.SMTPResponseException):
        return int(error.smtp_code)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return min((int(code) for code, _ in error.recipients.values()), default=0)
    return 0
