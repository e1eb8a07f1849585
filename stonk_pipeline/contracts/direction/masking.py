"""Masks company names and dates in a text, so that a model cannot recite what it has read about that history.

A leak costs more than a lost word, and yet what a headline says must stay: "52-week low" is news about Lowe's (LOW),
and "margin 39%" is no date. So an ordinary word (`words.ORDINARY`) is a company only where it is written as one.
"""

import re
from functools import lru_cache

from stonk_pipeline.contracts.direction.words import COUNTED, LEGAL, ORDINARY, SHORTENED

COMPANY, DATE = "the company", "[date]"
"""What stands for a name, and for a date."""
_MARK = "\ue000"
"""Stands for `COMPANY` meanwhile: no word, so that nothing is found in it. No cleaned text holds it."""
_ENDING = r"(?:,?\s(?:inc|incorporated|corp|corporation|ltd|limited|plc|llc)\b\.?)?"
_LONG = re.compile(r"\s[A-Za-z]\w{3,}")


def mask(text: str, ticker: str, name: str) -> str:
    """Masks ticker and company name in a text.

    - Cashtags (`$low`) go in any case.
    - The ticker as a bare word goes in any case, unless it has less than three letters or is an ordinary word (LOW,
      ALL): then in capitals, and an ordinary word not where the whole text is in capitals. What has another meaning in
      capitals (A, IT, CEO), and mere digits, go in brackets alone: `(A)`, `(NYSE: A)`.
    - The name goes in any case where it has two words or more, with its legal ending or without.
    - The first word of a name goes in any case, unless it is an ordinary word or has less than four letters: then only
      where it is the whole name but for the ending (Target Corp) and has its capital, and, where every word has one,
      begins a sentence. So `Price Target` stays.

    Example:
        >>> mask("Apple Inc. beats estimates, $AAPL up, apple happy", "AAPL", "Apple Inc.")
        'the company beats estimates, the company up, the company happy'
        >>> mask("Target lifts its sales target, TGT up", "TGT", "Target Corp")
        'the company lifts its sales target, the company up'
    """
    text = text.replace(COMPANY, _MARK)
    before = ""
    # Again, since what is gone can change how the rest is written: all in capitals, or not.
    while before != text and any(begin in text.lower() for begin in _beginnings(ticker, name)):
        rest = text.replace(ticker, "") if ticker else text
        before, text = text, _identity(ticker, name, rest.isupper(), _titled(text)).sub(_MARK, text)
    return text.replace(_MARK, COMPANY)


@lru_cache(maxsize=4096)
def _beginnings(ticker: str, name: str) -> tuple[str, ...]:
    """Letters that are in whatever names a company: most texts have none, and need no other look."""
    words = re.sub(r"^the\s+(?=\S)", "", name.strip().lower())
    found = (re.match(r"[^\W_]*", text.strip().lower()) for text in (ticker, words))
    return tuple(match[0] for match, text in zip(found, (ticker, words), strict=True) if match and text.strip())


def _titled(text: str) -> bool:
    """Whether half of the longer words after the first have a capital."""
    words = _LONG.findall(text)
    return 2 * sum(word[1].isupper() for word in words) >= len(words)


@lru_cache(maxsize=4096)
def _identity(ticker: str, name: str, shouted: bool, titled: bool) -> re.Pattern[str]:
    """What names a company in a text that is all in capitals, or has a capital in every word, or neither."""
    found = [*_names(name.replace(_MARK, " "), shouted, titled), *_tickers(ticker.strip(), shouted)]
    return re.compile("|".join(found) or r"(?!)")


def _names(name: str, shouted: bool, titled: bool) -> list[str]:
    """The longest first."""
    whole = [word for word in map(_bare, name.split()) if word]
    core = whole[1:] if len(whole) > 1 and whole[0].lower() == "the" else whole
    while len(core) > 1 and re.sub(r"[./]", "", core[-1].lower()) in LEGAL:
        core = core[:-1]
    found = []
    if len(whole) > len(core):
        stop = r"\.?" if whole[-1] not in core else ""
        found.append(rf"(?i:(?<!\w){_spelled(whole)}{stop}(?!\w))")
    if len(core) > 1:
        found.append(rf"(?i:(?<!\w){_spelled(core)}{_ENDING}(?!\w))")
    if not core:
        return found
    first = re.sub(r"(?i)\.com$", "", core[0])
    ending = rf"(?:\.com\b)?{_ENDING}(?!\w)"
    if len(first) > 3 and re.sub(r"['’]s$", "", first.lower()) not in ORDINARY:
        found.append(rf"(?i:(?<!\w){_spelled([first])}{ending})")
    elif len(core) == 1 and len(first) > 1 and not shouted:
        written = "|".join(map(re.escape, sorted(_capitals(first))))
        begins = r"(?:^|(?<=^[\"'(])|(?<=[.!?:] ))" if titled else r"(?<!\w)"
        found.append(rf"{begins}(?:{written})(?!\s(?:prices?|of)\b){ending}")
    return found


def _capitals(word: str) -> set[str]:
    """How a word is written as a name."""
    return {word.upper(), word[0].upper() + word[1:], *([word.capitalize()] if word.isalpha() else [])}


def _bare(word: str) -> str:
    """A word of a name without what stands after it: Yahoo!"""
    return word.rstrip(",.!")


_SPELLED = {"-": r"[-\s]?", "'": "['’]?", "’": "['’]?", "&": r"\s?(?:&|and)\s?"}


def _spelled(words: list[str]) -> str:
    """A pattern for words of a name as news spell them: `Coca Cola`, `Lowes`, `AT & T`."""
    return r"[\s,.]+".join("".join(_SPELLED.get(sign, re.escape(sign)) for sign in word) for word in words)


def _tickers(ticker: str, shouted: bool) -> list[str]:
    if not ticker:
        return []
    spelled = "[-./_]".join(map(re.escape, re.split(r"[-./_]", ticker)))
    word = ticker.lower()
    found = [] if ticker.isdigit() else [rf"(?i:\$\s?{spelled}(?!\w))"]
    if word in SHORTENED or ticker.isdigit():
        found += [rf"(?<={before}){spelled}(?=\))" for before in (r"\(", r"\w:", r"\w:\s")]
    elif word not in ORDINARY and len(ticker) > 2:
        found.append(rf"(?i:(?<![^\W_]){spelled}(?![^\W_]))")
    elif word not in ORDINARY or not shouted:
        beside = "/-" if len(ticker) == 1 else ""  # F-150, T-Mobile
        found.append(rf"(?<![\w&.'’{beside}]){spelled}(?![\w&{beside}]|\.\w)")
    return found


_DAY = r"(?:3[01]|[12]\d|0?[1-9])"
_YEAR = r"(?:19\d\d|20[0-3]\d)"
_DAYTH = rf"{_DAY}(?:st|nd|rd|th)?"
_VERBS = r"(?:may|march)\b"
_MONTH = (
    r"(?:(?:january|february|april|june|july|august|september|october|november|december)\b"
    rf"|(?:jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec)\b\.?|{_VERBS})"
)
_ON = r"(?:on|by|from|since|until|till|before|after|through|(?:mon|tues?|wed|thu|thurs|fri|sat|sun)(?:day)?)"
_ITS_YEAR = rf"(?:\s?,?\s?{_YEAR}(?![\w%]|[.,]\d)|\s?['’]\d\d(?!\w))"
_FREE = r"(?<![\w$€£¥#.,/+])(?<![$€£¥#]\s)"
"""A number can begin here: it is no part of another one, and no price."""
_SHUT = r"(?![\w%/]|[.,]\d|\s%)"
"""A number ends here, and is no percentage."""
_COUNTS = rf"-(?:year|month|week|day|point)|\s(?:(?:new|more|other|extra)\s)?(?:{'|'.join(sorted(COUNTED))})\b"
_ALONE = rf"{_SHUT}(?!{_COUNTS})"
_HINT = re.compile(
    r"[12][90]\d\d|\d\s?/\s?\d|\d[hq]|[hqy]['’ ]?\d"
    r"|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?:uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?\b"
)
"""What all of the dates below have one of, in small letters: most texts need no other look."""
_DATES = re.compile(
    r"(?<!\w)(?=\w)(?:"
    + "|".join(
        (
            # 2014-09-27, 2014/9/27, 2014-09-27T10:00Z, 20140927
            rf"(?<![\w.])(?:19|20)\d\d\s?([-/.])\s?(?:1[0-2]|0?[1-9])\s?\1\s?{_DAY}(?:T[\d:.]+Z?)?(?!\w)",
            rf"{_FREE}{_YEAR}(?:1[0-2]|0[1-9])(?:3[01]|[12]\d|0[1-9]){_ALONE}",
            # 09/2014, 27.09.2014, 9/27/2014, 9/27/14
            r"(?<![\w.,/$€£¥])(?:1[0-2]|0?[1-9])/(?:19|20)\d\d(?![\w/])",
            rf"(?<![\w.,/])(?:{_DAY}\s?([-/.])\s?{_DAY}\s?\2\s?(?:19|20)\d\d|{_DAY}\s?/\s?{_DAY}\s?/\s?\d\d)(?![\w/])",
            # may 5, Sept. 5th, 2014; January 2014, Jan '14
            rf"\b{_MONTH}[\s-]?{_DAYTH}(?:\s?[-–]\s?{_DAYTH})?(?:{_ITS_YEAR}|(?![-–]?\d){_ALONE})",
            rf"\b{_MONTH}(?:\sof|-)?{_ITS_YEAR}",
            # 5 January, 5th of May, on 5 may, 5 may 2014
            rf"{_FREE}{_DAYTH}[\s-](?:of\s)?{_MONTH}{_ITS_YEAR}",
            rf"{_FREE}{_DAYTH}[\s-](?:of\s)?(?!{_VERBS}){_MONTH}(?!\w)",
            rf"{_FREE}{_DAY}(?:st|nd|rd|th)[\s-](?:of\s)?{_VERBS}",
            rf"\b(?P<on>{_ON}\s){_DAY}[\s-]{_VERBS}{_ITS_YEAR}?",
            # FY2014, FY14, Q3'14, 3Q14
            rf"\b(?P<quarter>(?:fy|cy|q[1-4]|h[12]|[1-4]q|[12]h)[\s/-]?['’]?){_YEAR}[ae]?{_ALONE}",
            rf"\b(?P<short>(?:fy|cy|[1-4]q)\s?['’]?|q[1-4]\s?['’]){_DAY}[ae]?{_ALONE}",
            # 9/27, unless it is a fraction
            rf"(?P<before>\b{_ON}\s)?(?<![\w$€£¥#.,/+-])(?<!\d\s)(?P<first>\d\d?)/(?P<second>\d\d?){_ALONE}(?!\s(?:point|of)\b)",
            # 1990s; in 2014; 2014-09, 2014/15, 2014E; "closes at 1987" stays
            rf"{_FREE}(?:19|20)\d0s\b",
            rf"(?P<price>\b(?:at|near|hits|tops)\s{_YEAR}(?=\s?(?:$|[^\w\s])))",
            rf"\b(?P<since>(?:in|since|during|until|till|before|after|fiscal|year|early|late|mid|end)[\s-](?:of\s)?){_YEAR}"
            rf"{_SHUT}(?!\s?[-/.]\s?\d)(?:(?<!00)|(?!{_COUNTS}))",
            rf"{_FREE}{_YEAR}(?:[-/]\d\d(?:\d\d)?{_SHUT}|[ae]\b)",
            rf"(?P<of>\b(?:of|for|by|from|through)\s)?{_FREE}{_YEAR}{_ALONE}(?(of)(?!\s?[-/.]\s?\d)|(?<!00))",
        )
    )
    + ")",
    re.IGNORECASE,
)
_FRACTIONS = frozenset((2, 3, 4, 5, 6, 8))


def mask_dates(text: str) -> str:
    """Masks dates and years in a text, and leaves percentages, counts, prices and fractions.

    - A month, with its name or usual abbreviation, before or after a day (1 to 31) or before a year. `may` and `march`
      after a number only with a year, an ending (5th) or a word like `on` before it.
    - A year (1900 to 2039), unless it is a price (`$2014`, `closes at 1987`), has decimals or a percent sign, or
      something counted comes next (`words.COUNTED`). 1900 and 2000 are counts, unless a word like `in`, `since`, `of`
      or `Q3` comes before them.
    - Two numbers with a stroke that can be month and day, unless they are a proper fraction in halves, thirds and so
      on (`3/4`) without a word like `on` before it, or 24/7.
    - ISO dates, 27.09.2014, 9/27/14, FY14, 3Q14, the 1990s. Names of days stay, and months without a number.

    Example:
        >>> mask_dates("down 5% on wed feb 19 2014, best since 2009-03-09")
        'down 5% on wed [date], best since [date]'
        >>> mask_dates("Cuts 2000 jobs, may rise 3/4 point, margin 39% in 2014")
        'Cuts 2000 jobs, may rise 3/4 point, margin 39% in [date]'
    """
    before = ""
    while before != text and _HINT.search(text.lower()):  # What is gone can change what its neighbours are read as.
        before, text = text, _DATES.sub(_date, text)
    return text


def _date(found: re.Match[str]) -> str:
    if found["price"]:
        return found[0]
    if found["first"]:
        month, day = int(found["first"]), int(found["second"])
        possible = 0 < month <= 31 and 0 < day <= 31 and min(month, day) <= 12 and (month, day) != (24, 7)
        zero = found["first"][0] == "0" or found["second"][0] == "0"
        if not possible or (month < day and day in _FRACTIONS and not found["before"] and not zero):
            return found[0]
    kept = (found[name] for name in ("on", "quarter", "short", "before", "since", "of"))
    return next(filter(None, kept), "") + DATE
