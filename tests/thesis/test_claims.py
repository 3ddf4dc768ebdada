"""Conditions of the thesis' claims: what is true, what is false, and what is refused."""

import pytest

from ner_utils.thesis import claims

VALUES = {
    "demo.minilm.micro_f1": 50.0,
    "demo.minilm.micro_f1.low": 45.5,
    "demo.minilm-large.micro_f1": 60.0,
    "demo.a-vs-b.p_holm": 0.01,
    "study.kind": "demonstration",
}


@pytest.mark.parametrize(
    ("condition", "truth"),
    [
        ("demo.minilm.micro_f1 > 49.9", True),
        ("demo.minilm.micro_f1 > 50", False),
        ("demo.minilm-large.micro_f1 - demo.minilm.micro_f1 == 10", True),
        ("demo.minilm-large.micro_f1-demo.minilm.micro_f1 == 10", True),
        ("45 < demo.minilm.micro_f1.low < 46", True),
        ("abs(demo.minilm.micro_f1 - demo.minilm-large.micro_f1) / 2 >= 5", True),
        ("max(demo.minilm.micro_f1, 70) == 70 and not demo.a-vs-b.p_holm >= 0.05", True),
        ("min(1, 2) > 1 or -demo.minilm.micro_f1 > 0", False),
        ('study.kind == "demonstration"', True),
    ],
)
def test_truth(condition, truth):
    assert claims.evaluate(condition, VALUES) is truth


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("demo.minilm.micro_f2 > 1", "unknown result key demo.minilm.micro_f2; is it demo.minilm.micro_f1"),
        ("demo.minilm.micro_f1x > 1", "unknown result key"),
        ("nothing > 1", "neither a result key nor allowed"),
        ("demo.minilm.micro_f1", "compares nothing"),
        ("demo.minilm.micro_f1 >", "not a condition"),
        ("", "only"),
        ("1 / 0 > 1", "division by zero"),
        ("study.kind > 1", "not supported"),
        ("demo.minilm.micro_f1 > 1 # true", "only"),
        ("__import__('os').getcwd() == ''", "neither|unknown"),
        ("abs(demo.minilm.micro_f1, key=1) > 1", "neither"),
        ("abs > 1", "neither"),
        ("2 ** 9 > 1", "neither"),
        ("(lambda: 1)() == 1", "only|neither"),
    ],
)
def test_refused(condition, reason):
    with pytest.raises(claims.ClaimError, match=reason) as refused:
        claims.check([claims.Claim("thesis/discussions/demo.tex", 7, condition)], VALUES)
    assert "thesis/discussions/demo.tex:7: \\claim{" in str(refused.value)


def raised(condition):
    with pytest.raises(ValueError) as error:
        claims.evaluate(condition, VALUES)
    return type(error.value)


@pytest.mark.parametrize(
    "condition",
    [
        "demo.other.micro_f1 > 1",
        "demo.minilm.micro_f1 > 60 and demo.other.f1 > 1",
        "not abs(gain.low) >= 2 * gain.high",
    ],
)
def test_a_missing_result_is_not_a_mistake_in_the_condition(condition):
    """Also where another part decides the condition: its truth must not depend on the order of evaluation."""
    assert raised(condition) is claims.UnknownResult
    assert claims.holds(condition, VALUES) is None


@pytest.mark.parametrize(
    "condition",
    [
        "gain.low >",
        "gain.low",
        "gain.low > 1 and gain.high",
        "gain.low > hgih",
        "gain.low ** 2 > 1",
        "gain.low > 1; 2",
    ],
)
def test_a_condition_over_missing_results_is_checked_too(condition):
    assert raised(condition) is ValueError


def test_scan(tmp_path):
    """Claims over several lines and with nested text are listed, claims in comments are not."""
    file = tmp_path / "demo.tex"
    file.write_text(
        "A \\claim{a.b\n   > 1}{text with {braces} and 5\\,\\% more}.\n"
        "% \\claim{c.d > 1}{no}\n50\\,\\% \\claim {e.f < 2}{yes} % \\claim{g.h > 1}{no}\n"
    )
    listed = claims.scan(file)
    assert [(claim.line, claim.condition) for claim in listed] == [(1, "a.b > 1"), (4, "e.f < 2")]
