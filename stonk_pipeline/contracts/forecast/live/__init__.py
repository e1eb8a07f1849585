"""Forecasts the coming sessions with the model in use, logs each forecast beforehand, and scores it afterwards.

{forecasts_dir}/{STOCK}_{date}_{model}.{json,csv,png}   one forecast
{forecasts_dir}/log.jsonl                               every forecast, stamped and chained by digest; only grows
{forecasts_dir}/scores.jsonl                            what came, day by day; only grows
{forecasts_dir}/index.html                              the page of all this, written anew from it
"""
