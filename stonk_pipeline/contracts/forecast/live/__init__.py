"""Forecasts in use: the next sessions, written down before their outcome exists, and marked when it does.

{forecasts_dir}/{STOCK}_{date}_{model}.{json,csv,png}   one forecast
{forecasts_dir}/log.jsonl                               every forecast, stamped and chained by digest; only grows
{forecasts_dir}/scores.jsonl                            what came, day by day; only grows
"""
