"""The foundation model as a baseline: what is said where it cannot be had, and one with random weights where it can."""

import sys

import numpy as np
import pytest

from stonk_pipeline.contracts.forecast.scores.chronos import forecast, load
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.schema import History, Window


def test_load_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "chronos", None)
    with pytest.raises(ConfigError, match=r"chronos-forecasting .* install the extra `chronos`"):
        load("amazon/chronos-bolt-tiny")


def test_load_refuses_what_holds_no_weights(tmp_path):
    pytest.importorskip("chronos", reason="the extra `chronos` is not installed")
    with pytest.raises(ConfigError, match="no Chronos model can be loaded from"):
        load(str(tmp_path))


def test_forecast_sees_closes_up_to_the_decision_alone(tmp_path):
    chronos = pytest.importorskip("chronos", reason="the extra `chronos` is not installed")
    from transformers import T5Config

    config = T5Config(d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=2)
    config.chronos_config = {
        "context_length": 64,
        "prediction_length": 16,
        "input_patch_size": 8,
        "input_patch_stride": 8,
        "quantiles": [0.1, 0.5, 0.9],
        "use_reg_token": True,
    }
    config.chronos_pipeline_class, config.architectures = "ChronosBoltPipeline", ["ChronosBoltModelForForecasting"]
    chronos.chronos_bolt.ChronosBoltModelForForecasting(config).save_pretrained(tmp_path)
    closes = tuple(100 + np.sin(np.arange(80.0)))
    dates = tuple(str(np.datetime64("2024-01-01") + day) for day in range(80))
    window = Window("A", dates[59], (closes[59],), {}, {}, 1.0, 50.0, 0.5)
    pipeline = load(str(tmp_path))
    found = forecast(pipeline, [window], 10, {"A": History(dates, closes)})
    assert found.shape == (1, 10)
    assert np.isfinite(found).all()
    poisoned = {"A": History(dates, (*closes[:60], *[1e9] * 20))}
    assert forecast(pipeline, [window], 10, poisoned).tolist() == found.tolist()
