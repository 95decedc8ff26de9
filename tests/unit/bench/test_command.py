"""``bench`` on the command line: what is understood, and what is said when a program is absent."""

import pytest
from typer.testing import CliRunner

from bench.sink import Sink, Source
from bench.smsc import Smsc
from launcher.commands.bench import _sizes
from launcher.faults import Fault
from launcher.main import app

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", ["email", "urgent", "fanout", "intake", "tracking", "sms", "social", "fairness"])
def test_every_bench_says_what_it_measures(name: str) -> None:
    found = CliRunner().invoke(app, ["bench", name, "--help"])
    assert found.exit_code == 0
    assert "--json" in found.output and "--rounds" in found.output


def test_sizes_of_audiences_are_sorted_and_told_once() -> None:
    assert _sizes("1000, 10,1000") == [10, 1000]


@pytest.mark.parametrize("text", ["", "10,", "ten", "-5", "0", "99999999999"])
def test_sizes_that_are_none_are_refused(text: str) -> None:
    found = CliRunner().invoke(app, ["bench", "fanout", "--recipients", text])
    assert found.exit_code == 2


@pytest.mark.parametrize("finder", [Sink, Source])
def test_absent_program_is_named_with_the_way_to_get_it(
    finder: type[Sink] | type[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path: None)
    with pytest.raises(Fault, match=r"smtp-(sink|source) is not on this machine[\s\S]*apt-get install postfix"):
        finder.find()


@pytest.mark.parametrize("missing", ["node", "npm"])
def test_sms_needs_nodejs_and_npm_and_says_so(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None if name == missing else f"/bin/{name}")
    with pytest.raises(Fault, match=rf"{missing} is not on this machine[\s\S]*Node\.js"):
        Smsc.find()
