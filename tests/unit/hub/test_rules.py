"""The rules file: what officers may write, and what they are told about mistakes."""

import pytest

from hub.rules import COLUMNS, Known, Rules, RulesInvalid, parse_rules
from schemas.events import TYPES, template_of
from schemas.lanes import Lane, Severity

pytestmark = pytest.mark.unit

HEADER = ";".join(COLUMNS)
KNOWN = Known(
    areas=("centre", "tanneries", "gare"),
    themes=("alertes", "travaux", "ecole"),
    channels=("email", "sms", "mastodon"),
    templates=tuple(template_of(name) for name in TYPES),
)


def rules(*lines: str) -> Rules:
    return parse_rules("\n".join((HEADER, *lines)), "rules.csv", KNOWN)


def faults(*lines: str, header: str = HEADER) -> list[str]:
    with pytest.raises(RulesInvalid) as caught:
        parse_rules("\n".join((header, *lines)), "rules.csv", KNOWN)
    assert str(caught.value).splitlines() == [str(fault) for fault in caught.value.faults]
    return [str(fault) for fault in caught.value.faults]


def test_a_rule_says_where_announcements_go() -> None:
    (rule,) = rules("road-works;>=Severe;centre,gare;travaux;urgent;email,sms;fr;*").rules
    assert rule.line == 2
    assert rule.types == {"fr.tambour.road-works"}
    assert rule.severities == {Severity.SEVERE, Severity.EXTREME}
    assert rule.areas == frozenset({"centre", "gare"})
    assert (rule.themes, rule.lane, rule.channels, rule.languages) == (
        ("travaux",),
        Lane.URGENT,
        ("email", "sms"),
        ("fr",),
    )
    assert rule.template is None


def test_stars_stand_for_all() -> None:
    (rule,) = rules("*;*;*;alertes;bulk;*;*;*").rules
    assert rule.types == set(TYPES)
    assert rule.severities == set(Severity)
    assert rule.areas is None
    assert rule.channels == ("email", "sms", "mastodon")
    assert rule.languages == ("fr", "en")


def test_what_spreadsheets_do_to_a_file_is_understood() -> None:
    rows = (
        f"\ufeff{HEADER.upper()}",
        ";;;;;;;",
        "# remarque;;;;;;;",
        '"Road-Works";*; Centre ;"Travaux, Alertes";Bulk;SMS;FR;*',
    )
    (rule,) = parse_rules("\r\n".join(rows), "rules.csv", KNOWN).rules
    assert rule.line == 4
    assert rule.themes == ("travaux", "alertes")
    assert rule.channels == ("sms",)


def test_columns_may_stand_in_any_order() -> None:
    (rule,) = parse_rules(
        ";".join(reversed(COLUMNS)) + "\n*;fr;email;bulk;travaux;*;*;road-works", "rules.csv", KNOWN
    ).rules
    assert rule.lane is Lane.BULK


def test_every_fault_is_told_with_its_line_and_a_way_to_mend_it() -> None:
    assert faults(
        "road-work;*;*;travaux;bulk;email;fr;*",
        "road-works;Sever;*;travaux;bulk;email;fr;*",
        "road-works;*;center;travaux;bulk;email;fr;*",
        "road-works;*;*;traveaux;fast;email,fax;de;*",
        "road-works;*;*;travaux;bulk;email",
        "road-works;*;*;;bulk,urgent;email,email;fr;works",
        "road-works;*;*;*;bulk;email;fr;*",
    ) == [
        "rules.csv:2: unknown type 'road-work'. Did you mean 'road-works'?",
        "rules.csv:3: unknown severity 'Sever'. Did you mean 'Severe'?",
        "rules.csv:4: unknown area 'center'. Did you mean 'centre'?",
        "rules.csv:5: unknown theme 'traveaux'. Did you mean 'travaux'?",
        "rules.csv:5: unknown lane 'fast'. Use some of: bulk, routine, urgent.",
        "rules.csv:5: unknown channel 'fax'. Use some of: email, mastodon, sms.",
        "rules.csv:5: unknown language 'de'. Use some of: en, fr.",
        "rules.csv:6: 6 cells for 8 columns. Write one cell a column; * stands for any.",
        "rules.csv:7: the theme is empty. Use some of: alertes, ecole, travaux.",
        "rules.csv:7: more than one lane. Keep one of: bulk, urgent.",
        "rules.csv:7: the channel 'email' stands twice. Keep one of them.",
        "rules.csv:7: unknown template 'works'. Did you mean 'road-works'?",
        "rules.csv:8: the themes are *, which only notices can have. Use some of: alertes, ecole, travaux.",
    ]


def test_missing_and_unknown_columns_are_told() -> None:
    assert faults("x", header="type;severity;area;themes;lane;channels;languages") == [
        "rules.csv:1: the column 'areas' is missing. "
        "The columns are type;severity;areas;themes;lane;channels;languages;template.",
        "rules.csv:1: the column 'template' is missing. "
        "The columns are type;severity;areas;themes;lane;channels;languages;template.",
        "rules.csv:1: unknown column 'area'. Did you mean 'areas'?",
    ]
    assert "commas" in faults("x", header=HEADER.replace(";", ","))[0]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a remark\n", HEADER])
def test_a_file_without_rules_is_refused(text: str) -> None:
    with pytest.raises(RulesInvalid):
        parse_rules(text, "rules.csv", KNOWN)


def test_a_quote_that_never_ends_is_told_with_its_line() -> None:
    assert faults('"road-works;*;*;travaux;bulk;email;fr;*')[0].startswith("rules.csv:2: not a line of CSV")


def test_a_rule_hidden_by_one_before_it_is_told() -> None:
    assert faults(
        "road-works;*;*;travaux;bulk;email;fr;*",
        "road-works;Severe;centre;travaux;urgent;sms;fr;*",
    ) == ["rules.csv:3: never reached: line 2 takes all that it matches. Move it up, or remove it."]


def test_a_rule_hidden_by_several_together_is_told() -> None:
    assert faults(
        "road-works;>=Moderate;*;travaux;bulk;email;fr;*",
        "road-works;Minor,Unknown;centre;travaux;bulk;email;fr;*",
        "road-works;*;centre;travaux;urgent;sms;fr;*",
    ) == ["rules.csv:4: never reached: line 2, 3 takes all that it matches. Move it up, or remove it."]


def test_a_rule_that_something_still_reaches_is_kept() -> None:
    found = rules(
        "road-works;*;centre,tanneries,gare;travaux;bulk;email;fr;*",
        "road-works;>=Severe;*;travaux;bulk;email;fr;*",
        "road-works;*;*;travaux;bulk;email;fr;*",
    )
    assert len(found.rules) == 3


def test_a_type_without_template_needs_another() -> None:
    known = Known(KNOWN.areas, KNOWN.themes, KNOWN.channels, ("notice",))
    text = f"{HEADER}\nroad-works;*;*;travaux;bulk;email;fr;"
    with pytest.raises(RulesInvalid, match="there is no template 'road-works'"):
        parse_rules(f"{text}*", "rules.csv", known)
    assert parse_rules(f"{text}notice", "rules.csv", known).rules[0].template == "notice"
