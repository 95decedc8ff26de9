"""docs/operations.md, "How large a machine": every result follows from the figures above it."""

import ast
import math
import operator
import re

import pytest

from hub.settings import DeliverySettings, KafkaSettings, RetentionSettings
from tests.acceptance.deploy.manifests import ROOT

pytestmark = pytest.mark.unit

TEXT = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("\n## How large a machine\n")[2].partition("\n## ")[0]
FIGURES = {
    name: float(figure.replace(",", ""))
    for name, figure in re.findall(r"^\| `(\w+)` \| ([\d.,]+) \|", SECTION, re.MULTILINE)
}
ROWS = [
    [cell.strip() for cell in row.strip("|").split("|")]
    for row in re.search(r"^\| what \| how \|.*\n.*\n((?:\|.*\n)+)", SECTION, re.MULTILINE)[1].splitlines()  # type: ignore[index]
]
COLUMNS = range(3)
_OPERATORS = {ast.Add: operator.add, ast.Mult: operator.mul, ast.Div: operator.truediv}


def value(formula: str, names: dict[str, float]) -> float:
    """What a formula of the table comes to: names, numbers, + × ÷ and parentheses. KeyError for an unknown name."""

    def of(node: ast.expr) -> float:
        if isinstance(node, ast.BinOp):
            return float(_OPERATORS[type(node.op)](of(node.left), of(node.right)))
        if isinstance(node, ast.Name):
            return names[node.id]
        assert isinstance(node, ast.Constant)
        return float(node.value)  # type: ignore[arg-type]

    return of(ast.parse(formula.replace("×", "*").replace("÷", "/"), mode="eval").body)


def written(number: float) -> str:
    """Three significant digits, as the table has them; thousands with commas."""
    rounded = round(number, 2 - math.floor(math.log10(abs(number))))
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def test_a_formula_comes_to_what_it_says() -> None:
    assert value("a × (b + 2) ÷ 4", {"a": 2, "b": 4}) == 3
    with pytest.raises(KeyError):
        value("a × c", {"a": 2})
    assert (written(5_454.5), written(917.0), written(0.08333), written(55.0)) == ("5,450", "917", "0.0833", "55")


@pytest.mark.parametrize("column", COLUMNS)
def test_every_result_follows_from_the_figures(column: int) -> None:
    names = dict(FIGURES)
    faults = []
    for what, formula, *results in ROWS:
        name = re.match(r"`(\w+)`", what)
        if not formula:
            assert name is not None
            names[name[1]] = float(results[column].replace(",", ""))
            continue
        found = value(formula, names)
        if name is not None:
            names[name[1]] = found
        if results[column] != written(found):
            faults.append(f"{what}: {results[column]} ought to be {written(found)}")
    assert faults == []


def test_figures_of_the_code_are_the_codes() -> None:
    months = RetentionSettings().months
    assert f"`retention.months = {months}`" in SECTION and FIGURES["days"] == round((months + 1) * 365 / 12)
    assert f"their {KafkaSettings(bootstrap='k:1').partitions} partitions" in SECTION
    each = DeliverySettings().depth // KafkaSettings(bootstrap="k:1").partitions
    assert f"`delivery.depth = {12 * each}` ({each} a worker)" in SECTION
