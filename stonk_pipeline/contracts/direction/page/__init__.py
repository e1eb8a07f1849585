"""Renders the HTML report of a direction run, and its pictures."""
