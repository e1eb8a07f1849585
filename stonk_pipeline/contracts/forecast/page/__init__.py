"""Renders the HTML report of a forecast run, and its pictures."""
