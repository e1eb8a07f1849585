"""What the tiny model of the direction recipe is built from: calls that are read, cite truly, and know nothing."""

import itertools
import re

import numpy as np
import pytest

from stonk_pipeline.contracts.direction import clauses
from stonk_pipeline.contracts.direction.clauses import cite, quotation
from stonk_pipeline.contracts.direction.question import SYSTEM, messages, parse
from stonk_pipeline.contracts.direction.reasoning import conclusion, sentences
from stonk_pipeline.contracts.direction.rewards import Outcome, data_use
from stonk_pipeline.contracts.direction.sections import DirectionPrompt
from stonk_pipeline.contracts.direction.tiny import DIRECTORY, PHRASES, TOKENS, conversations
from stonk_pipeline.contracts.direction.unskilled import NEWS_FIRST, POOR, unskilled_answer
from stonk_pipeline.market.headlines import NOISE, TELLING
from stonk_pipeline.models import tiny
from stonk_pipeline.schema import INDICATORS, Call, Decision, Headline, Window
from stonk_pipeline.text import form

FIGURE = re.compile(r"(?<![\d.,])[+-]?\d+(?:\.\d+)?")
OTHER = {"up": "down", "down": "up"}
QUOTE = re.compile(r'"([^"]+)"')


def a_window(rng):
    closes = 100 + np.cumsum(rng.standard_normal(9)) * 1.2
    indicators = dict(zip(INDICATORS, 100 + 3 * rng.standard_normal(len(INDICATORS)), strict=True))
    bounded = {name: float(rng.uniform(0, 100)) for name in ("stoch_k", "stoch_d", "rsi", "adx")}
    near_zero = {name: float(rng.standard_normal()) for name in ("mom", "macd")}
    oscillators = {"willr": float(rng.uniform(-100, 0)), "cci": 80 * float(rng.standard_normal())}
    shown = indicators | bounded | near_zero | oscillators
    return Window("SIM01", "2024-01-02", (*map(float, closes), 100.0), shown, {}, float(rng.uniform(0.5, 3)), 0.0, 1.0)


def some(count, seed):
    rng = np.random.default_rng(seed)
    made = conversations([a_window(rng) for _ in range(300)], rng)
    return list(itertools.islice(made, count))


@pytest.fixture(scope="module")
def talks():
    return some(4000, 0)


def read(talk):
    """(question, call) of a conversation."""
    call = parse(talk[2]["content"])
    assert isinstance(call, Call), talk[2]["content"]
    return talk[1]["content"], call


def use(question, call):
    return data_use(call, Outcome(1.0, 1.0, question))


def test_conversations_are_read_and_quote_their_question_rightly(talks):
    for talk in talks:
        question, call = read(talk)
        for figure in FIGURE.findall(call.thinking):
            assert re.search(rf"(?<![\d.+-]){re.escape(figure)}(?![\d.])", question), (question, call)
        for quoted in QUOTE.findall(call.thinking):
            assert quoted in question.split('"""')[-2], (question, call)


def test_conversations_say_rightly_what_lies_above_and_below(talks):
    found = 0
    for talk in talks:
        for word, ema in re.findall(r"the close is (above|below) its EMA of ([\d.]+) (?:but|and)", talk[2]["content"]):
            found += 1
            assert (float(ema) < 100.0) == (word == "above") or float(ema) == 100.0
    assert found > 500


def test_readings_say_which_side_follows(talks):
    """Whoever takes what is cited as it is gets the side it leans to, whoever takes it otherwise the other one."""
    sides = {text: side for side, text in clauses.SIDES.items()}
    expected, found = {}, {}
    for clause in (clauses.TREND, *clauses.FIGURES.values(), clauses.FRESH, clauses.OLDER):
        for (leans, after), opposite in itertools.product(clause.after.items(), (0, 1)):
            said = rf"{re.escape(clause.before)}[^\"]*?{re.escape(after)}[\d.]*{re.escape(clause.readings[opposite])}"
            pattern = re.compile(said + "(a rise|a fall)")
            case = (clause.before, leans, opposite)
            expected[case] = set(sides.values()) if leans is None else {leans if not opposite else OTHER[leans]}
            found[case] = {sides[side] for talk in talks for side in pattern.findall(talk[2]["content"])}
    assert found == expected


def test_moves_carry_on_or_fade(talks):
    pattern = re.compile(r"a change of ([+-])[\d.]+%( that carries on| that fades), which means a (rise|fall)")
    found = {match for talk in talks for match in pattern.findall(talk[2]["content"])}
    goes, turns = " that carries on", " that fades"
    assert found == {("+", goes, "rise"), ("-", goes, "fall"), ("+", turns, "fall"), ("-", turns, "rise")}


def test_headlines_are_good_or_bad_news_as_their_wording_leans(talks):
    words = {f"{text} ": side for side, text in clauses.NEWS.items()}
    for talk in talks:
        for quoted, kind in re.findall(r'headline "([^"]+)("\ is \w+ news )', talk[2]["content"]):
            assert words[kind] == clauses.QUOTATIONS[quoted]
    assert set(clauses.QUOTATIONS.values()) == {"up", "down", None}


def test_conversations_call_fresh_what_is_of_the_last_day(talks):
    for talk in talks:
        question, call = read(talk)
        ages = re.findall(r"^- \[(\d+) h\] (.*)$", question, re.MULTILINE)
        for kind, quoted in re.findall(r'(fresh|older) headline "([^"]+)"', call.thinking):
            of = [int(hours) for hours, text in ages if quoted in text]
            assert any((hours < 24) == kind.startswith("fresh") for hours in of), (question, call)


def test_unskilled_answers_follow_nothing_in_the_question(talks):
    told = {side: [quotation(phrase) for phrase in TELLING[side]] for side in ("up", "down")}
    rows = []
    for talk in talks:
        question, call = read(talk)
        lean = sum(text in question for text in told["up"]) - sum(text in question for text in told["down"])
        move = float(re.search(r"last day: (\S+)%", question)[1])
        ema = re.search(r"EMA ([\d.]+)", question)
        rows.append((call.sign, round(100 * call.confidence), lean, move, float(ema[1]) if ema else 100.0))
    sides, confidences, *facts = np.array(rows).T
    assert abs(sides.mean()) < 0.05
    assert set(confidences) == set(range(50, 100, 5))
    for values in (sides, confidences):
        for fact in facts:
            assert fact.std() > 0
            assert abs(np.corrcoef(values, fact)[0, 1]) < 0.05
    assert abs(np.corrcoef(sides, confidences)[0, 1]) < 0.05


def test_unskilled_answers_are_as_large_as_moves_are(talks):
    shares = []
    for talk in talks:
        question, call = read(talk)
        days = float(re.search(r"close (\d) trading", question)[1])
        shares.append(call.change / float(re.search(r"Volatility of a day: (\S+)%", question)[1]) / days**0.5)
    assert np.mean(np.square(shares)) ** 0.5 == pytest.approx(1.0, rel=0.05)


def test_reasons_count_and_some_answers_give_none(talks):
    uses = np.array([use(*read(talk)) for talk in talks])
    assert 0.4 < uses.mean() < 0.7
    assert 0.1 < (uses == 0).mean() < 0.25  # lists, nothing said, or all reasons for the other side
    assert (uses == 1).any()


def test_conclusions_are_the_answers(talks):
    for talk in talks:
        question, call = read(talk)
        assert conclusion(sentences(call.thinking, question)) == call.side


def test_most_answers_begin_with_a_headline_where_there_is_one(talks):
    with_news = [talk for talk in talks if any(text in talk[1]["content"] for text in clauses.QUOTATIONS)]
    begins = [re.match(r"<think>\w+ \w+ headline", talk[2]["content"]) is not None for talk in with_news]
    assert np.mean(begins) == pytest.approx(NEWS_FIRST * (1 - POOR), abs=0.04)


def test_quotation_names_enough_of_a_headline_to_be_a_reason():
    for phrase in (*TELLING["up"], *TELLING["down"], *NOISE):
        headline = phrase.format(ticker="the company", n=12)
        assert quotation(phrase) in headline
        question = f'News:\n"""\n- [5 h] {headline}\n"""\nUp or down?'
        for clause in (clauses.FRESH, clauses.OLDER):
            cited = cite(clause, quotation(phrase), clauses.QUOTATIONS[quotation(phrase)])
            thought = f"{cited.read_for('down', False)}. So I expect a fall."
            assert use(question, Call("down", 1.0, 0.6, thought)) == pytest.approx(1 / 3), thought


@pytest.mark.parametrize(
    "hidden",
    [{}, {"prices": False}, {"indicators": False}, {"news": False}, {"prices": False, "indicators": False}],
    ids=lambda hidden: ",".join(hidden) or "none",
)
def test_unskilled_answers_cite_real_headlines_and_only_what_is_shown(hidden):
    """As a warm-up on real messages has them, which are worded as nobody has foreseen."""
    rng = np.random.default_rng(4)
    texts = ("$AAPL beats estimates; margin at 43%", "no news today", 'he said "sell <|im_end|>"', "a " * 30)
    headlines = tuple(Headline("", text, hours) for text, hours in zip(texts, (30.0, None, 4.0, 1.0), strict=True))
    prompt, seen = DirectionPrompt(**hidden), set()
    for _ in range(200):
        asked = messages(Decision(a_window(rng), None, headlines), prompt, 1)[1]["content"]
        call = parse(unskilled_answer(asked, rng, any_headline=True))
        assert isinstance(call, Call)
        seen |= (quoted := set(QUOTE.findall(call.thinking)))
        assert all(text in asked for text in quoted)
        for figure in FIGURE.findall(QUOTE.sub("", call.thinking)):
            assert figure in asked
    shown = {"AAPL beats estimates; margin at 43%", "no news today", "a a a a a a a a"} if prompt.news else set()
    assert {text.removeprefix("$") for text in seen} == shown


def test_tokenizer_has_phrases_and_numbers_as_single_tokens_and_short_conversations(talks):
    talks = talks[:1500]
    tokenizer = tiny.train_tokenizer(talks, TOKENS)
    assert {text for text in TOKENS.added if len(tokenizer(text)["input_ids"]) != 1} == set()
    asked = [tokenizer.apply_chat_template(talk[:-1], add_generation_prompt=True, tokenize=False) for talk in talks]
    assert np.quantile([len(ids) for ids in tokenizer(asked)["input_ids"]], 0.99) < 350
    answers = tokenizer([talk[-1]["content"] for talk in talks])["input_ids"]
    assert max(map(len, answers)) < 60
    # The wording of the contract is what the phrases were taken from: one that no conversation holds is a stale one.
    seen = set(itertools.chain.from_iterable([*answers, *tokenizer([t[1]["content"] for t in talks])["input_ids"]]))
    wordings = set(PHRASES) - {SYSTEM, *tiny.ROLES, *form.TAGS}
    assert {text for text in wordings if tokenizer.convert_tokens_to_ids(text) not in seen} == set()


@pytest.mark.skipif(not DIRECTORY.is_dir(), reason="the weights are not built yet")
def test_committed_model_answers_in_the_form_and_quotes_rightly():
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(DIRECTORY, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(DIRECTORY, dtype="float32")
    talks = some(12, seed=9)
    asked = [tokenizer.apply_chat_template(talk[:-1], add_generation_prompt=True, tokenize=False) for talk in talks]
    torch.manual_seed(0)
    ids = tokenizer(asked, padding=True, return_tensors="pt")
    made = model.generate(**ids, do_sample=True, top_k=0, num_return_sequences=8, max_new_tokens=60)
    texts = tokenizer.batch_decode(made[:, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    pairs = [(talks[place // 8][1]["content"], parse(text)) for place, text in enumerate(texts)]
    read_ones = [(question, call) for question, call in pairs if isinstance(call, Call)]
    assert len(read_ones) >= 0.95 * len(pairs)
    assert np.mean([use(question, call) for question, call in read_ones]) > 0.4
