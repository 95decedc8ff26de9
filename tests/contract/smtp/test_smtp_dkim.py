"""Our DKIM signatures, after the way through SMTP, before a verifier that is not ours: npm's mailauth."""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from hub.mail_mime import Headers, InlineImage, MailSlots, Placeholders, compose
from publishers.smtp.options import DkimKey
from schemas.messages import Mail
from tests.contract.smtp.peers import absent
from tests.contract.smtp.scripted import ScriptedServer, unstuffed
from tests.contract.smtp.sending import options, send

pytestmark = pytest.mark.contract

MAILAUTH = "mailauth@4.11.0"
SCRIPT = """
const {dkimVerify} = require('mailauth/lib/dkim/verify');
const {message, records} = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const resolver = async (name, type) => {
  if (type !== 'TXT' || !records[name]) { const e = new Error('no such name'); e.code = 'ENOTFOUND'; throw e; }
  return [[records[name]]];
};
dkimVerify(Buffer.from(message, 'base64'), {resolver}).then(found => console.log(JSON.stringify(
  found.results.map(one => [one.selector, one.status.result, one.algo, one.status.comment || '']))));
"""
DOMAIN = "valmerande.example"

Verify = Callable[[bytes], dict[str, tuple[str, str]]]
"""A message's signatures: selector → (result, algorithm)."""


@pytest.fixture(scope="session")
def mailauth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        absent("npm is absent")
    folder = tmp_path_factory.mktemp("mailauth")
    command = [str(npm), "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), MAILAUTH]
    installed = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if installed.returncode:
        absent(f"npm can't install {MAILAUTH}: {installed.stderr[-300:]}")
    (folder / "verify.cjs").write_text(SCRIPT)
    return folder


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, DkimKey], dict[str, str]]:
    """Two keys of the commune, and what its DNS says of them."""
    folder, found, records = tmp_path_factory.mktemp("keys"), {}, {}
    ed25519, rsa2048 = Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)
    raw = ed25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    der = rsa2048.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for name, key, public in (("ed25519", ed25519, raw), ("rsa", rsa2048, der)):
        path = folder / f"{name}.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        found[name] = DkimKey(domain=DOMAIN, selector=f"hub-{name}", key_file=path)
        published = f"v=DKIM1; k={name}; p={base64.b64encode(public).decode()}"
        records[f"hub-{name}._domainkey.{DOMAIN}"] = published
    return found, records


@pytest.fixture
def verify(mailauth: Path, keys: tuple[dict[str, DkimKey], dict[str, str]]) -> Verify:
    def ask(message: bytes) -> dict[str, tuple[str, str]]:
        told = subprocess.run(
            ["node", "verify.cjs"],
            cwd=mailauth,
            input=json.dumps({"message": base64.b64encode(message).decode(), "records": keys[1]}),
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return {selector: (result, algorithm) for selector, result, algorithm, _ in json.loads(told.stdout)}

    return ask


def composed() -> bytes:
    """A mail as the hub makes them: folded headers, soft line breaks, a picture, lines of dots."""
    holes = Placeholders.fresh()
    text = f".à la première ligne\n..\n.\nPassez à {holes.unsubscribe_url} \n\n\n"
    page = f'<p>é\t<a href="{holes.unsubscribe_url}">x</a>  <img src="cid:logo" alt="Blason"></p>\n'
    subject = "Mise à jour : rue des Tisserands barrée du 4 au 8 novembre, déviation par le quai Vauclair"
    now = datetime(2026, 11, 4, 7, 30, tzinfo=UTC)
    headers = Headers("Ville de Valmerande", f"annonces@{DOMAIN}", None, subject, now, f"annonces.{DOMAIN}", "fr")
    logo = InlineImage("logo", bytes(range(256)) * 4, "image/png")
    template = compose(headers, text, page, holes, [logo])
    return template.splice(MailSlots("marie@courriel.example", f"1.1@{DOMAIN}", f"https://{DOMAIN}/u/1"))


async def sent(content: bytes, dkim: dict[str, DkimKey], **more: object) -> bytes:
    """The content as it comes out at the other end."""
    async with ScriptedServer() as server:
        mail = Mail("1", f"retour@{DOMAIN}", "marie@courriel.example", content)
        assert (await send([mail], options(server.port, dkim=dkim, **more))).receipts() == 1
        ((_, arrived),) = server.received
        return unstuffed(arrived)


PASS = {"hub-ed25519": ("pass", "ed25519-sha256"), "hub-rsa": ("pass", "rsa-sha256")}


@pytest.mark.parametrize(
    "content",
    [
        composed(),
        composed() + b"\r\n\r\n",
        b"From: a@valmerande.example\r\nTo:\r\n\r\n",
        b"From: a@valmerande.example\r\n\r\nx",
    ],
    ids=["as the hub makes them", "empty lines at its end", "no body", "no end of line"],
)
async def test_both_signatures_pass(
    content: bytes, keys: tuple[dict[str, DkimKey], dict[str, str]], verify: Verify
) -> None:
    assert verify(await sent(content, keys[0])) == PASS


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"From:", b"Subject: Versez 100 euros\r\nFrom:"),
        (b"From:", b"List-Unsubscribe: <https://autre.example/>\r\nFrom:"),
        (b"From:", b"From: autre@valmerande.example\r\nFrom:"),
        (b"From:", b"Cc: autre@courriel.example\r\nFrom:"),
        (b"To: marie", b"To: luc"),
        (b"https://valmerande.example/u/1", b"https://valmerande.example/u/2"),
    ],
)
async def test_what_somebody_adds_or_changes_on_the_way_breaks_both(
    before: bytes, after: bytes, keys: tuple[dict[str, DkimKey], dict[str, str]], verify: Verify
) -> None:
    arrived = await sent(composed(), keys[0])
    signatures, fields, rest = arrived.partition(b"\r\nFrom:")
    tampered = signatures + (fields + rest).replace(before, after, 1)
    assert tampered != arrived
    assert {result for result, _ in verify(tampered).values()} == {"fail"}


async def test_relay_that_signs_itself_gets_the_mail_unsigned(
    keys: tuple[dict[str, DkimKey], dict[str, str]],
) -> None:
    assert await sent(composed(), keys[0], signs=True) == composed()
