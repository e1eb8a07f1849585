"""Keeps records that only grow: logged forecasts and ingested bars."""
