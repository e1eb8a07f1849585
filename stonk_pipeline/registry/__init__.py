"""Keeps trained models in plain files: which there are, which one is in use (the champion), and what replaces it.

{models_dir}/registry/{MODEL}/{STOCK}/
entries/{id}/entry.json   what the model is: data, dates, settings, versions, verdict, digests of its adapter
entries/{id}/adapter/     a copy that nobody changes
champion.json             the model in use, and how it came to be; replaced atomically
trials.jsonl              every comparison with a champion, also those that were lost; only ever grows
"""
