"""Words technical indicators for prompts."""

from stonk_pipeline.text.form import number

_OSCILLATORS = ("stoch_k", "stoch_d", "rsi", "willr", "cci", "adx")


def indicator_text(values: dict[str, float], decimals: int) -> str:
    """Words the indicators with their names, as a question shows them."""
    shown = [f"{name.upper()} {number(values[name], decimals)}" for name in ("sma", "ema", "mom", "macd")]
    shown += [f"{name.upper()} {number(values[name], 0)}" for name in _OSCILLATORS]
    bands = " ".join(number(values[f"bbands_{band}"], decimals) for band in ("upper", "middle", "lower"))
    return ", ".join([*shown, f"BBANDS {bands}"])
