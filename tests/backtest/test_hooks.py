"""Guide S1's hooks: callable as it prints them, useful by themselves, safe when overridden."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from crypto_bot.adapters.webhook import verify_webhook
from crypto_bot.backtest.custom_training import EstimatorTrainer, as_trainer, custom_data
from crypto_bot.backtest.ml_integration import MLBacktestingIntegration
from crypto_bot.config import load_settings
from crypto_bot.core.errors import ModelError
from crypto_bot.core.timeframes import ReplayClock
from crypto_bot.journal import Journal
from crypto_bot.training import ForestOptions, ForestTrainer
from operations.loopback_receiver import receiver
from small_runs import small_bench, small_settings

NOW_NS = 1_735_689_600_000_000_000
ROW = {
    "sharpe": 1.0,
    "pnl": 0.10,
    "max_drawdown": 0.05,
    "stop_loss_pct": 0.01,
    "take_profit_pct": 0.02,
}
RESULTS = {"BTC/USDT": {"trend_bot": {"1h": [ROW, {**ROW, "pnl": -0.02}]}}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(folder, kind=MLBacktestingIntegration, **changes):
    return kind(small_settings(folder, **changes), clock=ReplayClock(NOW_NS))


def small_forest(**more):
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=3, max_depth=3, random_state=1, **more)


def test_a_custom_metric_alone_is_a_column_of_the_table(folder):
    class Own(MLBacktestingIntegration):
        def _calculate_custom_metric(self, results):
            return len(results)

    table = made(folder, Own).prepare_ml_training_data(RESULTS)
    assert table["custom_metric"].tolist() == [2]
    plain = made(folder)
    assert "custom_metric" not in plain.prepare_ml_training_data(RESULTS)
    assert plain._calculate_custom_metric(RESULTS["BTC/USDT"]["trend_bot"]["1h"]) == -0.02
    assert plain._calculate_custom_metric([]) is None


def test_the_pipeline_as_it_is_trains_judges_and_publishes_the_configured_model(folder):
    integration = made(folder, **{"models.trainers": ["logistic"], "models.calibration": "none"})
    (result,) = asyncio.run(integration.custom_training_pipeline(["BTC/USDT"]))
    assert (result["symbol"], result["error"]) == ("BTC/USDT", None)
    assert result["reason"]
    with small_bench(folder) as bench:
        card = bench.registry_of(True).show("BTC/USDT", result["version"]).card
        assert card.gate["promoted"] in (True, False)
        assert bench.registry_of(True).champion("BTC/USDT") is None or result["promoted"]


def test_the_guides_pipeline_runs_as_it_is_printed_with_a_model_of_ones_own(folder):
    seen = {}

    class CustomMLIntegration(MLBacktestingIntegration):
        def _preprocess_data(self, training_data):
            processed = super()._preprocess_data(training_data)
            seen["rows"] = len(processed.datasets["BTC/USDT"])
            return processed

        async def _train_custom_model(self, processed_data):
            data = processed_data.datasets["BTC/USDT"]
            return small_forest().fit(data.features, data.labels)

    # Word for word as the guide prints it: a function, awaited steps, nothing returned.
    async def custom_training_pipeline(self, training_data):
        # Preprocess data
        processed_data = self._preprocess_data(training_data)

        # Custom training
        model = await self._train_custom_model(processed_data)

        # Validate and publish
        await self._validate_and_publish_model(model)

    CustomMLIntegration.custom_training_pipeline = custom_training_pipeline
    integration = made(folder, CustomMLIntegration)
    table = integration.prepare_ml_training_data(RESULTS)
    assert asyncio.run(integration.custom_training_pipeline(table)) is None
    assert seen["rows"] > 100
    with small_bench(folder) as bench:
        (version,) = bench.registry_of(True).versions("BTC/USDT")
        predictor, card = bench.registry_of(True).load("BTC/USDT", version)
        assert card.model_type == "random_forest"
        assert card.options["estimator"] == "RandomForestClassifier"
        assert card.gate["evidence"]["trials"] >= 1
        assert len(bench.journal.trials()) == 1, "the try counts against later ones"
        features = np.zeros((1, len(card.feature_names)))
        assert predictor.predict_proba(features).sum() == pytest.approx(1)


def test_a_model_that_cannot_be_stored_is_refused_before_anything_is_trained(folder):
    from sklearn.svm import SVC

    class Own(MLBacktestingIntegration):
        async def _train_custom_model(self, processed_data):
            return SVC()

    integration = made(folder, Own)
    with pytest.raises(ModelError, match="was SVC; other models cannot be stored without pickle"):
        asyncio.run(integration.custom_training_pipeline(["BTC/USDT"]))
    with small_bench(folder) as bench:
        assert bench.journal.trials() == []


def test_what_is_taken_for_a_model_and_what_is_not():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    trainer = ForestTrainer(ForestOptions(n_estimators=2))
    assert as_trainer(trainer) is trainer
    scaled = make_pipeline(StandardScaler(), LogisticRegression())
    assert as_trainer(scaled).name == "custom LogisticRegression"
    for wrong in (object(), None, lambda: 0, make_pipeline(MinMaxScaler(), small_forest())):
        with pytest.raises(ModelError, match="model must be a trainer or one of"):
            as_trainer(wrong)


def test_every_kind_of_estimator_is_stored_and_predicts_as_its_library(folder):
    from lightgbm import LGBMClassifier
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with small_bench(folder) as bench:
        made(folder)._preprocess_data(["BTC/USDT"])
        data = custom_data(bench, ["BTC/USDT"]).datasets["BTC/USDT"]
    bare = ExtraTreesClassifier(n_estimators=3, max_depth=3, random_state=1)
    scaled = make_pipeline(StandardScaler(), bare)
    assert EstimatorTrainer(bare).fit(data).files == EstimatorTrainer(scaled).fit(data).files
    kinds = (
        scaled,
        make_pipeline(StandardScaler(), small_forest()),
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        LGBMClassifier(n_estimators=3, num_leaves=4, verbose=-1, n_jobs=1),
    )
    for estimator in kinds:
        model = EstimatorTrainer(estimator).fit(data)
        fresh = estimator.fit(data.features, data.labels)
        wanted = fresh.predict_proba(data.features[:200])
        found = model.predictor.predict_proba(np.ascontiguousarray(data.features[:200]))
        assert np.abs(found - wanted).max() < 1e-9, type(estimator).__name__
        assert model.files == EstimatorTrainer(estimator).fit(data).files, "the same every time"


def webhook_settings(folder, url):
    environ = {"CRYPTO_BOT__WEBHOOK_URL": url, "CRYPTO_BOT__NOTIFICATIONS__WEBHOOK_SECRET": "k3y"}
    plain = small_settings(folder).model_dump(mode="json", exclude_unset=True)
    return load_settings(plain, environ=environ)


def test_an_event_of_ones_own_is_posted_signed_as_the_guide_calls_it(folder):
    with receiver() as told:
        integration = MLBacktestingIntegration(webhook_settings(folder, told.url))

        # As the guide prints it.
        async def notify_external_system(self, event_type, data):
            webhook_url = self.config.get("webhook_url")
            if webhook_url:
                await self._send_webhook(webhook_url, event_type, data)

        asyncio.run(notify_external_system(integration, "model_checked", {"symbol": "BTC/USDT"}))
        asyncio.run(integration.notify_external_system("two words", {"n": 1}))
    (_, headers, body), (_, _, second) = told.posts
    assert verify_webhook("k3y", headers, body)
    assert headers["X-CryptoBot-Event"] == "model_checked"
    assert json.loads(body)["data"] == {"symbol": "BTC/USDT"}
    assert json.loads(second)["data"] == {"event_type": "two words", "n": 1}
    assert told.url not in (folder / "integrated_backtest.log").read_text()


def test_an_event_that_is_not_taken_stays_in_the_journal_and_raises_nothing(folder):
    with receiver((503, {})) as told:
        settings = webhook_settings(folder, told.url)
        asyncio.run(MLBacktestingIntegration(settings).notify_external_system("checked", {}))
    with Journal(settings.journal.url) as journal:
        (message,) = journal.messages()
    assert (message.kind, message.status, message.attempts) == ("webhook.checked", "waiting", 1)
    assert told.url not in json.dumps(dict(message.body))


def test_without_an_address_nothing_is_told_and_another_address_is_tried_once(folder, caplog):
    integration = made(folder)
    asyncio.run(integration.notify_external_system("checked", {"n": 1}))
    with receiver((500, {})) as told:
        asyncio.run(integration._send_webhook(told.url, "checked", {"n": 1}))
    assert len(told.posts) == 1
    assert "checked was not taken: webhook must answer 2xx, was 500" in caplog.text
