"""Names what one bar spans (a trading day, a day of a market that never closes, a week) and counts bars in a year."""

TRADING_DAY, DAY, WEEK = "trading day", "day", "week"
A_YEAR = {TRADING_DAY: 252, DAY: 365, WEEK: 52}
"""Bars a year, by which means and deviations of a bar are made annual ones. 252: sessions of New York a year, on
average."""
_ADJECTIVES = {"day": "daily", "week": "weekly"}


def noun(period: str) -> str:
    """`day` or `week`."""
    return period.split()[-1]


def adjective(period: str) -> str:
    """`daily` or `weekly`."""
    return _ADJECTIVES[noun(period)]
