"""What is taken out of a text says which company and when; the news stays."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.news import read_news
from stonk_pipeline.config.news import NewsConfig
from stonk_pipeline.contracts.direction.make.companies import company
from stonk_pipeline.contracts.direction.masking import mask, mask_dates
from stonk_pipeline.contracts.direction.question import question
from stonk_pipeline.contracts.direction.sections import DirectionPrompt
from stonk_pipeline.schema import Decision, Headline, Window


@pytest.mark.parametrize(
    ("ticker", "name", "text", "masked"),
    [
        ("LOW", "Lowe's Companies, Inc.", "Lowe's at 52-week low, lowes up, $low", "X at 52-week low, X up, X"),
        ("LOW", "", "LOW hits a low", "X hits a low"),
        ("LOW", "", "SHARES HIT 52-WEEK LOW, $LOW", "SHARES HIT 52-WEEK LOW, X"),
        ("LOW", "", "LOW +5%", "X +5%"),
        ("TGT", "Target Corp", "Analyst raises price target", None),
        ("TGT", "Target Corp", "Analyst Raises Price Target Again", None),
        ("TGT", "Target Corp", "ANALYST RAISES PRICE TARGET", None),
        ("TGT", "Target Corp", "Target price 55", None),
        ("TGT", "Target Corp", "Target of $55 set by analyst", None),
        ("TGT", "Target Corp", "Walmart, Target raise wages, target corp. says", "Walmart, X raise wages, X says"),
        ("TGT", "Target Corp", "Target Lifts Outlook", "X Lifts Outlook"),
        ("ALL", "The Allstate Corporation", "All you need now, allstate", "All you need now, X"),
        ("ALL", "The Allstate Corporation", "The Allstate Corporation pays", "X pays"),
        ("BBY", "Best Buy Co., Inc.", "Best quarter ever, best buy says", "Best quarter ever, X says"),
        ("BAC", "Bank of America", "Bank regulators and a bank rival", None),
        ("BAC", "Bank of America", "Bank of America and Bank of England", "X and Bank of England"),
        ("AAL", "American Airlines Group Inc.", "American exports up", None),
        ("KEY", "KeyCorp", "key rate cut", None),
        ("A", "A", "A rise in a day, an A grade, $A (A) (NYSE: A)", "A rise in a day, an A grade, X (X) (NYSE: X)"),
        ("IT", "Gartner, Inc.", "IT spending falls, it says, $it", "IT spending falls, it says, X"),
        ("T", "AT&T Inc.", "T rises, $t, AT&T, at & t, T-Mobile, T's lead", "X rises, X, X, X, T-Mobile, X's lead"),
        ("T", "", "T rises, $t, AT&T", "X rises, X, AT&T"),
        ("GE", "General Electric", "GE lifts, general news of $ GE", "X lifts, general news of X"),
        ("GE", "General Electric", "rival General Motors, a manager", None),
        ("GPS", "Gap Inc.", "shares gap up as Gap sells", "shares gap up as X sells"),
        ("GPS", "GAP INC", "shares gap up as Gap sells", "shares gap up as X sells"),
        ("AAPL", "Apple Inc", "applesauce and aapls", None),
        ("AAPL", "Apple Inc.", "apple, inc. rose, AAPL's, buy aapl, _aapl", "X rose, X's, buy X, _X"),
        ("AMZN", "Amazon.com, Inc.", "amazon slips, Amazon.com up", "X slips, X up"),
        ("KO", "The Coca-Cola Company", "coca cola, Coca-Cola and KO, ko'd", "X, X and X, ko'd"),
        ("BRK-A", "Berkshire Hathaway", "$brk.a and BRK/A", "X and X"),
        ("YHOO", "Yahoo! Inc.", "Yahoo up", "X up"),
        ("700", "", "cuts 700 jobs for $700 (HKG: 700)", "cuts 700 jobs for $700 (HKG: X)"),
        ("", "", "nothing known", None),
        ("THE", "The Company", "the company and The Company", "X and X"),
    ],
)
def test_mask_hides_who_it_is_and_keeps_what_it_says(ticker, name, text, masked):
    assert mask(text, ticker, name) == (masked or text).replace("X", "the company")


DATES = """\
Shares decline 5% after results
Profit margin 30% above plan
Revenue decreased 12%, margins 8% up
Market 10 points lower
Novavax 20% up, Marriott 7% higher, Augusta 3 plants; maybe 5 more, Octane 93, Marks 5 years
Cuts 2000 jobs
hires 1950 workers, sold 2014 new cars
EPS 2.05 vs 1999.5, $2014, $ 2014, 2014 %, 2,014
S&P closes at 1987
Yield 3/4 point up
Bond 1/2 off, 99 9/16, open 24/7, 45/100
Shares may rise 5%, may 5,000, may 5x, top 10 may rise
battle for number 3 may already be over
margins may 5-7%, march 5 miles, March 3% up, Mar 5.5, Dec 5 million, may 10 percent
on Monday in September
at 52.30 up 1.2%, 100 pieces
Apple margin 39% in [2014]
in [2014], of [2014], since [2009], [2014] guidance, cuts [2014] outlook, [2014] home sales
in [2014] shares fell
FY[2014], FY[14], Q3 [2014], 3Q[14], Q3'[14], fiscal [2014]
in [2000], since [1900], Q3 [2000], but in 2000 stores
[2013-2014] and [2014-15], [2014/15], [09/2014], EPS [2014E], FY[15E], the [1990s], mid-[2014]
[may 5], [march 3], [May 5th], [5th of may], on [5 may], [5 May 2014], [May 2014]
[Sept. 5], [sep 5, 2014], [apr 24th , 2015], [12 Mar 2015], [Jan '15], [january 2015], [April 21-25]
wed [feb 19 2014] at 15:28
[2014-09-27], [27.09.2014], [9/27/2014], [9/27/14], [05/17 / 2014], [20140927], [2014-09-27T10:00:00Z]
since [2009-03-09], since [2009-03]
[9/27], [07/21], on [3/4], [31/12], tue [6/16]
[3/4/2015], [1999]""".splitlines()


@pytest.mark.parametrize("line", DATES)
def test_mask_dates_tells_dates_from_counts_prices_and_fractions(line):
    assert mask_dates(line.replace("[", "").replace("]", "")) == re.sub(r"\[[^]]*\]", "[date]", line)


WORDS = (
    *(
        "the company",
        "the",
        "company",
        "a",
        "Target",
        "target",
        "TARGET",
        "TGT",
        "$",
        "low",
        "LOW",
        "inc.",
        "Inc",
        "Co",
    ),
    *(
        "The",
        "Gap",
        "AT&T",
        "t",
        "T",
        ",",
        ".",
        "&",
        "'",
        "-",
        "/",
        "(",
        ")",
        "may",
        "5",
        "march",
        "2014",
        "2000",
        "jobs",
    ),
    *("in", "on", "3/4", "9/27", "12", "%", "th", "points", "'14", "FY", "Q3", "jan", "1/2/14", "up"),
)
PIECES = st.builds(str.join, st.sampled_from(["", " "]), st.lists(st.sampled_from(WORDS), max_size=12))


@given(st.one_of(PIECES, st.text()), st.sampled_from(["TGT", "LOW", "T", "A", "", "IT"]), PIECES)
def test_masking_twice_changes_nothing(text, ticker, name):
    once = mask(text, ticker, name)
    assert mask(once, ticker, name) == once
    dated = mask_dates(text)
    assert mask_dates(dated) == dated
    assert sum(map(str.isdigit, dated)) <= sum(map(str.isdigit, text))


@given(st.one_of(PIECES, st.text()))
def test_mask_dates_leaves_text_without_digits(text):
    text = re.sub(r"\d", "", text)
    assert mask_dates(text) == text


def test_values_of_figures_are_masked_as_headlines_are():
    facts = {"Fiscal year end": "2014-09-27", "Top product": "Apple iPhone (AAPL)", "Revenue": 2014, "Debt": "394.3B"}
    window = Window("AAPL", "2021-03-04", (99.0, 100.0), {}, {}, 1.0, 0.0, 1.0)
    decision = Decision(window, company("Apple Inc.", "Apple makes phones", facts), (Headline("", "In 2014"),))
    text = question(decision, DirectionPrompt(), 1)
    assert (
        "- Fiscal year end [date]\n- Top product the company iPhone (the company)\n- Revenue 2014\n- Debt 394.3B"
        in text
    )
    shown = question(decision, DirectionPrompt(show_name=True, show_dates=True), 1)
    assert "- Fiscal year end 2014-09-27\n- Top product Apple iPhone (AAPL)\n" in shown


def test_mask_on_real_messages_hides_the_company_and_eats_few_words(stocknet):
    news = read_news(stocknet.parent / "news", ["AAPL", "MSFT"], NewsConfig())
    texts = [headline.text for found in news.headlines.values() for headline in found]
    for ticker, name, known in (
        ("AAPL", "Apple Inc.", "aapl|apple"),
        ("MSFT", "Microsoft Corporation", "msft|microsoft"),
    ):
        named = re.compile(rf"(?<![a-z])({known})(?![a-z])", re.IGNORECASE)
        masked = [mask(headline.text, ticker, name) for headline in news.headlines[ticker]]
        assert len(masked) > 1500
        assert [text for text in masked if named.search(text)] == []
    for ticker, name in (("LOW", "Lowe's"), ("ALL", "Allstate"), ("NOW", "ServiceNow"), ("BBY", "Best Buy")):
        named = re.compile(rf"\$ ?{ticker}\b|{name}", re.IGNORECASE)
        assert [text for text in texts if mask(text, ticker, name) != text and not named.search(text)] == []
