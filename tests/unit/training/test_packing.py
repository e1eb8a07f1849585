"""How answers are packed behind their prompt, and how many of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stonk_pipeline.training.packing import Cost, answers_in_a_row, pack

torch = pytest.importorskip("torch")


def padded(texts: list[list[int]], *, left: bool) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Tokens, and which of them are text."""
    width = max(map(len, texts))
    gaps = [width - len(text) for text in texts]
    rows = [[0] * gap + text if left else text + [0] * gap for gap, text in zip(gaps, texts, strict=True)]
    marks = [[i >= gap if left else i < width - gap for i in range(width)] for gap in gaps]
    return torch.tensor(rows), torch.tensor(marks)


def test_answers_lie_behind_their_prompt_and_each_sees_the_prompt_and_itself():
    prompts = padded([[7, 8], [9, 7, 8], [7, 8]], left=True)
    answers = padded([[1, 2], [3], [4, 5, 6]], left=False)
    packed = pack(*prompts, *answers, most=8)
    assert packed.ids.tolist() == [[0, 7, 8, 1, 2, 4, 5, 6], [9, 7, 8, 3, 8, 8, 8, 8]]
    assert packed.places.tolist() == [[0, 0, 1, 2, 3, 2, 3, 4], [0, 1, 2, 3, 0, 0, 0, 0]]
    sees = [[place for place, seen in enumerate(row) if seen] for row in packed.visible[0, 0].tolist()]
    assert sees[1:] == [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4], [1, 2, 5], [1, 2, 5, 6], [1, 2, 5, 6, 7]]
    assert sees[0], "a row that sees nothing has no softmax"


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(1, 9), min_size=1, max_size=5)), min_size=1, max_size=9),
    st.integers(1, 9),
)
def test_every_token_of_every_answer_is_given_by_the_token_before_it(texts, most):
    questions = ([5], [5, 6], [4, 5, 6])
    prompts = padded([questions[kind] for kind, _ in texts], left=True)
    answers = padded([answer for _, answer in texts], left=False)
    packed = pack(*prompts, *answers, most)
    kept = packed.ids[:, -packed.kept :].flatten().tolist()
    places = packed.places[:, -packed.kept :].flatten().tolist()
    for row, (kind, answer) in enumerate(texts):
        source = packed.source[row].tolist()[: len(answer)]
        assert [kept[at] for at in source] == [questions[kind][-1], *answer[:-1]]
        assert [places[at] for at in source] == [len(questions[kind]) - 1 + step for step in range(len(answer))]
    kinds = [kind for kind, _ in texts]
    assert len(packed.ids) == sum(-(-kinds.count(kind) // most) for kind in set(kinds))


@pytest.mark.parametrize(
    ("prompt", "answer", "group", "expected"),
    [(250, 115, 8, 8), (20, 4_000, 8, 1), (0, 50, 4, 1), (1_000, 500, 16, 4)],
)
def test_as_many_answers_share_a_row_as_cost_least(prompt, answer, group, expected):
    # 100 million weights; 30 layers of 576: attention over a row is as dear as its weights at 2,900 tokens
    assert answers_in_a_row(Cost(token=100e6, pair=34_560), prompt, answer, group) == expected
