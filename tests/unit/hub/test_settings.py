"""Settings: from a file and variables, every fault at once, and never a secret in what is said."""

from pathlib import Path

import pytest

from hub.settings import Settings, SettingsInvalid, load

pytestmark = pytest.mark.unit

SECRET = "a secret of the tests, long enough"
LEAST = {
    "TAMBOUR_DATABASE": "postgresql://tambour:hunter2@db.example/tambour",
    "TAMBOUR_KAFKA": "kafka.example:9092",
    "TAMBOUR_LINKS__PUBLIC_URL": "https://annonces.valmerande.example",
    "TAMBOUR_LINKS__SECRET": SECRET,
    "TAMBOUR_LINKS__BOUNCE_DOMAIN": "bounces.valmerande.example",
}
FILE = f"""\
database = "postgresql://file.example/tambour"
[kafka]
bootstrap = "file.example:9092"
[links]
public_url = "https://annonces.valmerande.example"
secret = "{SECRET}"
bounce_domain = "bounces.valmerande.example"
[portal]
port = 8080
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "tambour.toml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(environ: dict[str, str], path: Path | None = None) -> dict[str, str]:
    with pytest.raises(SettingsInvalid) as raised:
        load(path, environ)
    return {fault.where: fault.reason for fault in raised.value.faults}


def test_variables_alone_are_enough() -> None:
    settings = load(None, LEAST)
    assert settings.kafka.bootstrap == "kafka.example:9092"
    assert settings.database.get_secret_value().endswith("/tambour")
    assert settings.portal.port == 8470


def test_file_alone_is_enough(tmp_path: Path) -> None:
    settings = load(written(tmp_path, FILE), {})
    assert (settings.kafka.bootstrap, settings.portal.port) == ("file.example:9092", 8080)


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    settings = load(written(tmp_path, FILE), {"TAMBOUR_PORTAL__PORT": "9999", "TAMBOUR_KAFKA": "other:9093"})
    assert (settings.portal.port, settings.kafka.bootstrap) == (9999, "other:9093")


@pytest.mark.parametrize("kafka", ['kafka = "file.example:9092"', '[kafka]\nbootstrap = "file.example:9092"'])
def test_kafka_is_an_address_or_a_table_and_variables_join_either(tmp_path: Path, kafka: str) -> None:
    top, links = FILE.split("[kafka]")[0], FILE[FILE.index("[links]") :]
    path = written(tmp_path, f"{top}{kafka}\n{links}")
    environ = {"TAMBOUR_KAFKA__PROTOCOL": "SASL_SSL", "TAMBOUR_KAFKA__USERNAME": "tambour"}
    settings = load(path, environ)
    assert (settings.kafka.bootstrap, settings.kafka.protocol) == ("file.example:9092", "SASL_SSL")


def test_address_of_kafka_and_more_about_it_are_both_variables() -> None:
    settings = load(None, LEAST | {"TAMBOUR_KAFKA__PARTITIONS": "12"})
    assert (settings.kafka.bootstrap, settings.kafka.partitions) == ("kafka.example:9092", 12)


def test_every_fault_is_told_at_once_with_the_name_of_its_variable() -> None:
    environ = LEAST | {
        "TAMBOUR_KAFKA": "kafka.example",
        "TAMBOUR_PORTAL__PORT": "eighty",
        "TAMBOUR_DELIVERY__WINDOW": "1000",
        "TAMBOUR_LINKS__SECRET": "short",
        "TAMBOUR_PORTAL__HOTS": "0.0.0.0",
        "TAMBOUR_CHANNELS__FAX__URL": "http://fax.example",
        "TAMBOUR_CHANNELS__EMAIL__RELAYS__MAIN__PORT": "0",
    }
    del environ["TAMBOUR_DATABASE"]
    found = faults(environ)
    assert set(found) == {
        "TAMBOUR_DATABASE (database)",
        "TAMBOUR_KAFKA",
        "TAMBOUR_PORTAL__PORT",
        "TAMBOUR_DELIVERY__WINDOW",
        "TAMBOUR_LINKS__SECRET",
        "TAMBOUR_PORTAL__HOTS",
        "channels.fax",
        "TAMBOUR_CHANNELS__EMAIL__RELAYS__MAIN__PORT",
        "TAMBOUR_CHANNELS__EMAIL__RELAYS__MAIN__HOST (channels.email.relays.main.host)",
    }
    assert found["TAMBOUR_DATABASE (database)"] == "is missing"
    assert "spelling" in found["TAMBOUR_PORTAL__HOTS"]
    assert "email" in found["channels.fax"], "those there are"


def test_fault_in_the_file_tells_the_file_and_the_variable_that_could_mend_it(tmp_path: Path) -> None:
    path = written(tmp_path, FILE.replace("8080", '"high"'))
    assert list(faults({}, path)) == [f"TAMBOUR_PORTAL__PORT (portal.port in {path})"]


@pytest.mark.parametrize("text", ["database = ", "\x00", "[kafka\n"])
def test_file_that_is_no_toml_is_told_beside_the_other_faults(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    found = faults({"TAMBOUR_PORTAL__PORT": "x"}, path)
    assert "is not TOML" in found[str(path)]
    assert "TAMBOUR_PORTAL__PORT" in found


def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in faults(LEAST, tmp_path / "none.toml")[str(tmp_path / "none.toml")]


def test_faults_never_hold_the_value_of_a_secret() -> None:
    environ = LEAST | {"TAMBOUR_LINKS__SECRET": "hunter2", "TAMBOUR_PORTAL__OFFICER_TOKEN": "hunter3"}
    with pytest.raises(SettingsInvalid) as raised:
        load(None, environ)
    assert "hunter" not in str(raised.value) + repr(raised.value.faults)


def test_settings_in_a_log_show_no_secret() -> None:
    shown = repr(load(None, LEAST | {"TAMBOUR_KAFKA__PASSWORD": "hunter3"}))
    assert "hunter" not in shown and SECRET not in shown


def test_secret_is_read_from_a_file_and_stripped(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    environ = {name: value for name, value in LEAST.items() if name != "TAMBOUR_LINKS__SECRET"}
    settings = load(None, environ | {"TAMBOUR_LINKS__SECRET_FILE": str(path)})
    assert settings.links.secret.get_secret_value() == SECRET


def test_secret_whose_file_cannot_be_read_is_told_by_the_name_of_its_variable(tmp_path: Path) -> None:
    environ = {name: value for name, value in LEAST.items() if name != "TAMBOUR_LINKS__SECRET"}
    found = faults(environ | {"TAMBOUR_LINKS__SECRET_FILE": str(tmp_path / "none")})
    assert "cannot be read" in found["TAMBOUR_LINKS__SECRET_FILE"]


def test_secret_that_is_wrong_in_its_file_is_told_by_the_name_of_its_variable(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("hunter2")
    environ = {name: value for name, value in LEAST.items() if name != "TAMBOUR_LINKS__SECRET"}
    found = faults(environ | {"TAMBOUR_LINKS__SECRET_FILE": str(path)})
    assert list(found) == ["TAMBOUR_LINKS__SECRET_FILE"]


def test_value_set_as_a_value_and_as_a_table_is_told() -> None:
    assert "TAMBOUR_DATABASE__HOST" in faults(LEAST | {"TAMBOUR_DATABASE__HOST": "x"})


def test_variables_of_other_programs_and_of_the_tests_are_none_of_ours() -> None:
    environ = LEAST | {"TAMBOUR_HOME": "/x", "TAMBOUR_TEST_SESSION": "/y", "PATH": "/bin", "TAMBOURINE": "no"}
    assert load(None, environ) == load(None, LEAST)


def test_channel_has_the_options_of_its_own_file() -> None:
    settings = load(None, LEAST | {"TAMBOUR_CHANNELS__EMAIL__RELAYS__MAIN__HOST": "smtp.example"})
    assert type(settings.channels["email"]).__name__ == "SmtpOptions"
    assert set(settings.channels) == {"email"}


def test_a_list_is_written_in_a_variable_as_in_the_file() -> None:
    receiver = "TAMBOUR_CHANNELS__WEBHOOK__ACCOUNTS__SIG__"
    given = {f"{receiver}URL": "https://sig.example/", f"{receiver}SECRET": "whsec_" + "A" * 32}
    settings = load(None, LEAST | given | {f"{receiver}NETWORKS": '["10.1.0.0/16"]'})
    assert [str(one) for one in settings.channels["webhook"].accounts["sig"].networks] == ["10.1.0.0/16"]


def test_settings_cannot_be_changed() -> None:
    settings: Settings = load(None, LEAST)
    with pytest.raises(ValueError, match="frozen"):
        settings.portal = settings.portal  # type: ignore[misc]


MAIN = {
    "TAMBOUR_CHANNELS__SMS__GATEWAYS__MAIN__URL": "https://sms.example/api",
    "TAMBOUR_CHANNELS__SMS__GATEWAYS__MAIN__TOKEN": "t",
    "TAMBOUR_CHANNELS__SMS__GATEWAYS__MAIN__WEBHOOK_SECRET": "x" * 24,
}


def test_sms_gateways_of_several_kinds_come_from_the_file_and_from_variables(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a consumer key\n")
    path = written(
        tmp_path,
        FILE
        + f"""
[channels.sms.gateways.ovh]
kind = "ovh"
weight = 0
price_per_segment = "0.055"
service_name = "sms-vm96001-1"
application_key = "application"
application_secret = "application-secret"
consumer_key_file = "{tmp_path / "key"}"
receipt_token = "{"t" * 32}"
""",
    )
    gateways = load(path, MAIN).channels["sms"].gateways
    assert {name: (one.kind, one.weight) for name, one in gateways.items()} == {"main": ("http", 1), "ovh": ("ovh", 0)}
    assert gateways["ovh"].consumer_key.get_secret_value() == "a consumer key"
    assert "0.055" in str(gateways["ovh"].price_per_segment)


def test_faults_of_sms_gateways_name_the_variable_and_what_is_wrong() -> None:
    second = "TAMBOUR_CHANNELS__SMS__GATEWAYS__SECOND__"
    told = faults(
        LEAST
        | MAIN
        | {f"{second}KIND": "twilio", f"{second}ACCOUNT_SID": "AC1", "TAMBOUR_CHANNELS__SMS__URL": "https://x"}
    )
    assert "should match pattern" in told[f"{second}ACCOUNT_SID"]
    assert told[f"{second}API_SECRET (channels.sms.gateways.second.api_secret)"] == "is missing"
    assert "check the spelling" in told["TAMBOUR_CHANNELS__SMS__URL"], "the gateway's settings have moved"
    told = faults(LEAST | MAIN | {f"{second}KIND": "pigeon"})
    assert "there is no kind 'pigeon' of gateway; there are http, ovh, twilio, smpp" in " ".join(told.values())
