import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oauthlib.oauth1 import Client

from publishers.x.signature import authorization

pytestmark = pytest.mark.unit

TEXTS = st.text(st.sampled_from(string.ascii_letters + string.digits + " &=%+:/é日~-._"), max_size=12)
NAMES = st.text(st.sampled_from(string.ascii_lowercase + "_."), min_size=1, max_size=12)


def test_header_is_that_of_x_own_example() -> None:
    """docs.x.com, "Creating a signature": its keys, its nonce, its parameters (there, of a form), its signature."""
    header = authorization(
        "POST",
        "https://api.x.com/1.1/statuses/update.json",
        [("include_entities", "true"), ("status", "Hello Ladies + Gentlemen, a signed OAuth request!")],
        key=("xvz1evFS4wEEPTGEFPHBog", "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"),
        token=("370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"),
        nonce="kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
        timestamp=1318622958,
    )
    assert 'oauth_signature="Ls93hJiZbQ3akF3HF3x1Bz8%2FzU4%3D"' in header


@given(st.dictionaries(NAMES, TEXTS, max_size=4), TEXTS, TEXTS.filter(bool))
def test_header_is_the_one_that_oauthlib_makes(query: dict[str, str], secret: str, token: str) -> None:
    url = "https://api.x.com/2/users/96001/tweets"
    asked = "&".join(f"{quote(name, safe='')}={quote(value, safe='~')}" for name, value in query.items())
    client = Client("app", secret, token, "secret", nonce="n1", timestamp="1700000000")
    _, headers, _ = client.sign(f"{url}?{asked}" if asked else url, "GET")
    ours = authorization(
        "GET", url, [*query.items()], key=("app", secret), token=(token, "secret"), nonce="n1", timestamp=1_700_000_000
    )
    assert sorted(ours.removeprefix("OAuth ").split(", ")) == sorted(
        headers["Authorization"].removeprefix("OAuth ").split(", ")
    )
