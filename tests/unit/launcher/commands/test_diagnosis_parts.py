"""What the doctor makes of Kafka's topics, of PostgreSQL's settings, of links, and of files that others can read."""

from pathlib import Path

import pytest

from hub.settings import KafkaSettings, LinkSettings, PortalSettings, Settings
from launcher.diagnosis.channels import links
from launcher.diagnosis.database import kept
from launcher.diagnosis.findings import Grade, guarded
from launcher.diagnosis.kafka import Topic, judge
from launcher.diagnosis.machine import disk, secrets
from store.condition import Keeping

pytestmark = pytest.mark.unit

KAFKA = KafkaSettings(bootstrap="kafka:9092", partitions=12, replication=3)
GOOD = Topic("municipal.events", 12, 3)


def test_topics_as_the_settings_say_have_nothing_to_mend() -> None:
    assert judge([GOOD, Topic("more.than.asked", 24, 3)], KAFKA, brokers=3) == []


@pytest.mark.parametrize(
    ("topic", "grade", "what", "mend"),
    [
        (Topic("t", 4, 3), Grade.WARNING, "fewer partitions than kafka.partitions (12): t", "--partitions 12"),
        (Topic("t", 12, 1), Grade.WARNING, "fewer copies than kafka.replication (3): t", "kafka-reassign"),
        (Topic("t", 12, 3, behind=2), Grade.WARNING, "copies are missing or behind: t", "brokers"),
        (Topic("t", 12, 3, behind=2, leaderless=1), Grade.FAULT, "nobody leads partitions of t", "Start the broker"),
    ],
)
def test_topic_that_is_not_in_order_is_told(topic: Topic, grade: Grade, what: str, mend: str) -> None:
    (found,) = judge([GOOD, topic], KAFKA, brokers=3)
    assert (found.part, found.grade) == ("kafka", grade)
    assert what in found.what and mend in found.mend


def test_many_topics_are_told_by_the_first_three() -> None:
    (found,) = judge([Topic(f"t{at}", 4, 3) for at in range(9)], KAFKA, brokers=3)
    assert "t0, t1, t2 and 6 more" in found.what


def test_more_copies_than_brokers_can_not_be_made() -> None:
    (found,) = judge([GOOD], KAFKA, brokers=2)
    assert found.grade is Grade.FAULT and "2 broker(s)" in found.what


def test_single_copy_on_a_cluster_is_told_and_on_one_broker_not() -> None:
    single = KAFKA.model_copy(update={"replication": 1})
    assert [one.grade for one in judge([GOOD], single, brokers=3)] == [Grade.WARNING]
    assert judge([GOOD], single, brokers=1) == []


def test_database_that_keeps_what_it_acknowledges_is_in_order() -> None:
    assert kept(Keeping((), 12, 97, False)) == []


@pytest.mark.parametrize(
    ("keeping", "grade", "what"),
    [
        (Keeping(("fsync", "synchronous_commit"), 12, 97, False), Grade.FAULT, "fsync, synchronous_commit off"),
        (Keeping((), 12, 97, True), Grade.FAULT, "standby"),
        (Keeping((), 5, 20, False), Grade.WARNING, "5 of 20 connections"),
        (Keeping((), 95, 97, False), Grade.WARNING, "95 of 97 connections"),
    ],
)
def test_database_that_does_not_is_told(keeping: Keeping, grade: Grade, what: str) -> None:
    (found,) = kept(keeping)
    assert found.grade is grade and what in found.what and found.mend


def settings(url: str, bounces: str, *, sandbox: str | None = None, channels: tuple[str, ...] = ("email",)) -> Settings:
    return Settings.model_validate(
        {
            "database": "postgresql://x",
            "kafka": KAFKA,
            "links": LinkSettings.model_validate(
                {"public_url": url, "secret": "a secret of the tests", "bounce_domain": bounces}
            ),
            "portal": PortalSettings.model_validate({"sandbox_url": sandbox}),
            "channels": dict.fromkeys(channels, None),
        }
    )


def test_links_that_lead_back_are_in_order() -> None:
    (found,) = links(settings("https://annonces.valmerande.example", "retours.valmerande.example"))
    assert found.grade is Grade.OK


@pytest.mark.parametrize(
    ("url", "bounces", "what"),
    [
        ("http://127.0.0.1:8470", "retours.valmerande.example", "only this machine can reach"),
        ("http://[::1]:8470", "retours.valmerande.example", "only this machine can reach"),
        ("http://annonces.valmerande.example", "retours.valmerande.example", "not encrypted"),
        ("https://annonces.valmerande.example", "bounces.localhost", "only this machine knows"),
    ],
)
def test_links_that_do_not_are_told(url: str, bounces: str, what: str) -> None:
    (found,) = links(settings(url, bounces))
    assert found.grade is Grade.WARNING and what in found.what and "links." in found.mend


def test_demo_and_social_networks_alone_have_no_links_to_look_at() -> None:
    here = "http://127.0.0.1:8470"
    assert links(settings(here, "bounces.localhost", sandbox="http://127.0.0.1:8471")) == []
    assert links(settings(here, "bounces.localhost", channels=("mastodon",))) == []


def test_secret_that_everybody_can_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "token"
    secret.write_text("x")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o001 == 0:
            monkeypatch.setattr("launcher.diagnosis.machine._above", lambda path: [])
    environ = {"TAMBOUR_HOME": str(tmp_path / "home"), "TAMBOUR_PORTAL__OFFICER_TOKEN_FILE": str(secret)}
    secret.chmod(0o600)
    assert secrets(environ) == []
    secret.chmod(0o644)
    (found,) = secrets(environ)
    assert found.grade is Grade.WARNING and found.mend == f"chmod o= {secret}"


def test_secret_below_a_closed_folder_is_nobody_elses(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "token").write_text("x")
    (closed / "token").chmod(0o644)
    environ = {"TAMBOUR_HOME": str(tmp_path / "home"), "TAMBOUR_PORTAL__OFFICER_TOKEN_FILE": str(closed / "token")}
    assert secrets(environ) == []


def test_disk_is_looked_at_before_the_home_is_made(tmp_path: Path) -> None:
    assert disk(tmp_path / "not" / "yet")[0].part == "disk"


async def test_check_that_is_stuck_or_breaks_is_a_finding() -> None:
    import asyncio

    async def stuck() -> list[object]:
        await asyncio.Event().wait()
        return []

    async def broken() -> list[object]:
        raise ZeroDivisionError("x")

    (slow,) = await guarded("part", stuck(), within_s=0.01)  # type: ignore[arg-type]
    (defect,) = await guarded("part", broken())  # type: ignore[arg-type]
    assert slow.grade is defect.grade is Grade.FAULT
    assert "no answer" in slow.what and "ZeroDivisionError" in defect.what
