"""Words that a reasoning is read by: directions, cues, negations, and those too common to be evidence."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


UP = _set(
    "up upward upwards rise rises rising rose higher gain gains increase increases increasing climb climbs bullish "
    "rally rallies rebound rebounds recover recovers recovery positive upside advance advances buy strengthen"
)
DOWN = _set(
    "down downward downwards fall falls falling fell lower lose loses loss losses decrease decreases decreasing drop "
    "drops decline declines declining bearish slide slides selloff negative downside retreat retreats sell weaken"
)
NOT = _set("not no never unlikely hardly without cannot against won't don't doesn't isn't n't")
CONCLUDING = _set("expect expects expecting predict forecast so therefore thus hence overall conclude likely")
CUES = CONCLUDING | _set(
    "should will suggests suggest points point support supports favours favors favour favor means mean indicates "
    "indicate signals signal argues argue implies imply"
)
COMMON = _set(
    "the company companies stock stocks share shares news headline headlines market price prices close closes today "
    "that this with from have has will been were after before into over more than about their they what when which "
    "would could should there here also just very some"
)
