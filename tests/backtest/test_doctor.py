"""The doctor: finds each fault, says what mends it, tells no secret, never hangs."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import threading

import pytest

from crypto_bot.adapters import ccxt_clock
from crypto_bot.backtest import doctor_local, doctor_network
from crypto_bot.backtest.doctor import Check, doctor_lines, doctor_result, examine, good
from crypto_bot.backtest.doctor_network import clock_finding, key_findings, look_at_key
from crypto_bot.cli.bot import main
from crypto_bot.config import load_settings
from crypto_bot.core.errors import DataError
from crypto_bot.journal import Journal
from small_runs import small_settings

SECRET = "sb_secret_" + "x" * 20


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("SUPABASE_URL", "SUPABASE_KEY", "SUPABASE_SERVICE_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def found(check, settings):
    (finding, *_) = check(settings)
    return finding.status, finding.words, finding.mend


def test_a_good_machine_has_nothing_to_mend_and_nothing_is_left_behind(folder):
    findings = examine(small_settings(folder), offline=True)
    code, result = doctor_result(findings)
    assert (code, result["failed"]) == (0, 0), result
    assert doctor_lines(findings)[-1] == "nothing to mend"
    names = {finding.name for finding in findings}
    assert names >= {"configuration", "folders", "disk", "journal", "versions", "extras", "GPU"}
    assert names >= {"kernels", "operations", "webhook", "mail", "secrets", "Supabase", "exchange"}
    assert {f.name for f in findings if f.status == "skipped"} == {"registry", "exchange"}
    assert list(folder.iterdir()) == []


def test_a_wrong_key_is_found_with_its_nearest_and_the_rest_is_still_looked_at(folder):
    (folder / "c.yaml").write_text("top_pair_count: 7\n")
    findings = examine(folder / "c.yaml", offline=True)
    assert findings[0].status == "failed"
    assert "did you mean 'top_pairs_count'" in findings[0].words
    assert len(findings) > 8


def test_a_check_that_takes_too_long_has_failed_and_the_next_goes_on():
    released = threading.Event()

    def hangs(_settings):
        released.wait(20)
        return good("slow", "late")

    def stumbles(_settings):
        raise DataError("no candles")

    checks = (
        Check("slow", hangs),
        Check("broken", stumbles),
        Check("last", lambda _: good("last", "")),
    )
    findings = examine({}, timeout_s=0.05, checks=checks)
    released.set()
    assert [finding.status for finding in findings[1:]] == ["failed", "failed", "ok"]
    assert "within 0.05 s" in findings[1].words
    assert findings[2].words == "no candles"
    assert doctor_result(findings)[0] == 1


def test_a_folder_that_cannot_be_written_is_named(folder):
    (folder / "file").write_text("")
    settings = small_settings(folder, **{"reports.folder": str(folder / "file" / "runs")})
    status, words, mend = found(doctor_local.look_at_folders, settings)
    assert status == "failed"
    assert words.startswith("reports.folder")
    assert mend.endswith("set reports.folder")


def test_a_full_disk_is_told_before_it_hurts(folder, monkeypatch):
    for free_gb, wanted in ((0.1, "failed"), (2, "note"), (50, "ok")):
        usage = shutil._ntuple_diskusage(0, 0, int(free_gb * 2**30))
        monkeypatch.setattr(doctor_local.shutil, "disk_usage", lambda _, usage=usage: usage)
        assert found(doctor_local.look_at_disk, small_settings(folder))[0] == wanted


def test_the_journal_is_opened_read_whole_and_asked_for_dead_messages(folder):
    settings = small_settings(folder)
    assert found(doctor_local.look_at_journal, settings)[:2] == (
        "ok",
        "none yet; the first run makes it",
    )
    with Journal(settings.journal.url) as journal:
        journal.add_message("webhook.alarm", "1", {})
        journal.message_failed(1, "x", None)
    assert found(doctor_local.look_at_journal, settings)[0] == "note"
    (finding,) = examine(
        settings, checks=[Check("journal", doctor_local.look_at_journal)], offline=True
    )[1:]
    assert finding.status == "note"
    (folder / "journal.sqlite").write_bytes(b"nothing" * 1000)
    (finding,) = examine(
        settings, checks=[Check("journal", doctor_local.look_at_journal)], offline=True
    )[1:]
    assert finding.status == "failed"
    assert "journal.sqlite" in finding.words


def test_a_journal_of_another_program_is_found(folder):
    with sqlite3.connect(folder / "journal.sqlite") as database:
        database.execute("create table theirs (a int)")
    database.close()
    checks = [Check("journal", doctor_local.look_at_journal)]
    (finding,) = examine(small_settings(folder), checks=checks)[1:]
    assert finding.status == "failed"


def test_a_library_out_of_its_range_is_named(folder, monkeypatch):
    lines = ["numpy>=99", "pandas>=2", 'ray>=2; extra == "ray"', 'scipy>=1; extra == "s"']
    monkeypatch.setattr(doctor_local.importlib.metadata, "requires", lambda _: lines)
    status, words, _ = found(doctor_local.look_at_versions, small_settings(folder))
    assert status == "failed"
    assert words.startswith("numpy must be >=99, was 2")
    assert "pandas" not in words
    monkeypatch.setattr(doctor_local.importlib.metadata, "requires", lambda _: lines[1:])
    (versions, extras) = doctor_local.look_at_versions(small_settings(folder))
    assert (versions.status, extras.words) == ("ok", "there: s; not: ray")


def test_webhook_and_mail_are_looked_at_without_being_sent(folder):
    def look(environ, **changes):
        values = {"notifications": changes} if changes else {}
        settings = load_settings(values, environ=environ)
        return [(f.name, f.status) for f in doctor_local.look_at_notifications(settings)]

    assert look({}) == [("webhook", "note"), ("mail", "note")]
    hook, secret = "CRYPTO_BOT__WEBHOOK_URL", "CRYPTO_BOT__NOTIFICATIONS__WEBHOOK_SECRET"
    assert look({hook: "ftp://x"})[0] == ("webhook", "failed")
    assert look({hook: "https://x", secret: "k"})[0] == ("webhook", "ok")
    assert look({hook: "https://x"})[0] == look({hook: "http://x"})[0] == ("webhook", "note")
    assert look({}, email_host="h")[1] == ("mail", "failed")
    mail = {"email_host": "h", "email_to": ["a@b"]}
    assert look({}, **mail)[1] == ("mail", "ok")
    assert look({}, **mail, email_user="u")[1] == ("mail", "failed")


def test_a_key_in_a_log_or_a_file_that_others_can_read_is_found_and_not_repeated(folder):
    settings = small_settings(folder)
    (folder / "backtest.log").write_text(f"key {SECRET}\n")
    status, words, mend = found(doctor_local.look_for_secrets, settings)
    assert status == "failed"
    assert "backtest.log" in words
    assert SECRET not in words + mend
    (folder / "backtest.log").unlink()
    (folder / "operations.token").write_text("t" * 20)
    (folder / "operations.token").chmod(0o644)
    assert found(doctor_local.look_for_secrets, settings)[2] == "chmod 600 operations.token"
    (folder / "operations.token").chmod(0o600)
    assert found(doctor_local.look_for_secrets, settings)[0] == "ok"


def token(**claims):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'HS256'})}.{part(claims)}.c2ln"


@pytest.mark.parametrize(
    ("key", "status", "words"),
    [
        (token(role="service_role", exp=2_000), "ok", "service-role key"),
        (token(role="service_role"), "ok", "service-role key"),
        (token(role="service_role", exp=1_000), "failed", "expired on 1970-01-01"),
        (token(role="anon", exp=2_000), "failed", "role service_role, had anon"),
        (SECRET, "ok", "secret key"),
        ("sb_publishable_abc", "failed", "publishable"),
        ("something", "failed", "no known form"),
        ("a.%%%.c", "failed", "no known form"),
    ],
)
def test_kind_role_and_expiry_of_a_key_are_read_from_it(key, status, words):
    (finding,) = key_findings(key, now_s=1_500)
    assert finding.status == status
    assert words in finding.words
    assert key not in finding.words + finding.mend


def test_an_address_without_tls_and_the_guides_placeholders_are_told(folder):
    environ = {"SUPABASE_URL": "http://mine.example", "SUPABASE_KEY": SECRET}
    assert found(look_at_key, load_settings({}, environ=environ))[0] == "failed"
    placeholders = {"ml_integration": {"supabase": {"url": "https://your-project.supabase.co"}}}
    assert found(look_at_key, load_settings(placeholders, environ={}))[0] == "note"


class Exchange:
    """Tells the time it is given, or fails."""

    has = {"fetchTime": True}

    def __init__(self, seconds_off=0.0, error=None):
        self.off, self.error = seconds_off, error
        self.is_closed = False

    async def fetch_time(self):
        import time

        if self.error:
            raise self.error
        return (time.time() - self.off) * 1000

    async def close(self):
        self.is_closed = True


def test_the_clock_is_held_against_the_exchanges(folder, monkeypatch):
    exchange = Exchange(seconds_off=5.0)
    told = ccxt_clock.ask_time("binance", exchange=exchange)
    assert told.skew_s == pytest.approx(5.0, abs=1.0)
    assert exchange.is_closed
    assert clock_finding("x", 5.0, 0.1).status == "failed"
    assert "ahead of x" in clock_finding("x", 5.0, 0.1).words
    assert "behind x" in clock_finding("x", -1.0, 0.1).words
    assert clock_finding("x", -1.0, 0.1).status == "ok"
    assert clock_finding("x", 2.4, 1.0).status == "ok", "the answer's way is uncertain"
    monkeypatch.setattr(ccxt_clock, "ask_time", lambda _: told)
    settings = small_settings(folder, **{"data.exchange": "binance"})
    assert [f.status for f in doctor_network.look_at_exchange(settings)] == ["ok", "failed"]


def test_an_exchange_that_cannot_be_reached_is_told_with_the_way_out(folder, monkeypatch):
    import ccxt

    broken = Exchange(error=ccxt.NetworkError("no route"))
    asked = ccxt_clock.ask_time
    monkeypatch.setattr(ccxt_clock, "ask_time", lambda name: asked(name, exchange=broken))
    settings = small_settings(folder, **{"data.exchange": "binance"})
    status, words, mend = found(doctor_network.look_at_exchange, settings)
    assert (status, words) == ("failed", "binance must be reachable, was not: no route")
    assert "proxy" in mend
    assert broken.is_closed


def test_a_bucket_that_is_insisted_on_without_a_key_is_a_failure(folder):
    settings = load_settings({"registry": {"store": "supabase"}}, environ={})
    status, words, mend = found(look_at_key, settings)
    assert (status, words) == (
        "failed",
        "must be configured for registry.store: supabase, was not",
    )
    assert "SUPABASE_SERVICE_KEY" in mend
    findings = examine(settings, checks=[Check("registry", doctor_network.look_at_registry)])
    assert [finding.status for finding in findings] == ["ok", "failed"]


def test_a_timeout_that_no_check_could_keep_is_refused(folder, capsys):
    assert main(["doctor", "--offline", "--timeout", "-3"]) == 2
    assert "--timeout must be above 0 seconds, was -3" in capsys.readouterr().err


def test_the_registry_is_tried_where_there_is_one(folder):
    settings = small_settings(folder)
    assert found(doctor_network.look_at_registry, settings)[0] == "ok"
    assert not (folder / "registry").exists()
    (folder / "registry").mkdir()
    status, words, _ = found(doctor_network.look_at_registry, settings)
    assert (status, words) == ("ok", "folder works: written, listed, read, removed; 0 symbols")
    shutil.rmtree(folder / "registry")
    (folder / "registry").write_text("")
    assert found(doctor_network.look_at_registry, settings)[0] == "failed"


def test_the_command_gives_its_exit_code_and_json_without_a_secret(folder, monkeypatch, capsys):
    monkeypatch.setenv("SUPABASE_URL", "https://mine.supabase.co")
    monkeypatch.setenv("SUPABASE_KEY", token(role="anon"))
    assert main(["doctor", "--offline", "--json"]) == 1
    shown = capsys.readouterr().out
    result = json.loads(shown)
    assert [c["name"] for c in result["checks"] if c["status"] == "failed"] == ["Supabase key"]
    assert token(role="anon") not in shown
    monkeypatch.setenv("SUPABASE_KEY", SECRET)
    assert main(["doctor", "--offline"]) == 0
    assert SECRET not in capsys.readouterr().out
