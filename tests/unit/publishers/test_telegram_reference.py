import pytest
from hypothesis import given
from hypothesis import strategies as st

from publishers.base import Permanent
from publishers.pictures import pictured
from publishers.telegram.reference import Chat, Reference
from publishers.utf16 import units
from schemas.messages import Picture

pytestmark = pytest.mark.unit

numbers = st.integers(min_value=1, max_value=10**15)
references = st.builds(
    Reference,
    st.integers(min_value=-(10**15), max_value=10**15),
    st.lists(numbers, min_size=1, max_size=10).map(tuple),
    st.text("0123456789abcdef", max_size=12),
)


@given(references)
def test_reference_is_read_as_it_was_written(reference: Reference) -> None:
    assert Reference.of(str(reference)) == reference


@pytest.mark.parametrize("text", ["", "96001_1", "-100:", "-100:1,", "-100:1#", "@valmerande:1", "-100:1 "])
def test_other_networks_reference_is_refused(text: str) -> None:
    with pytest.raises(Permanent) as raised:
        Reference.of(text)
    assert raised.value.code == "reference"


def test_only_public_chats_have_an_address() -> None:
    assert Chat(id=-1, username="valmerande").address("https://t.me", 7) == "https://t.me/valmerande/7"
    assert Chat(id=-1).address("https://t.me", 7) is None


@given(st.text())
def test_units_are_never_fewer_than_characters(text: str) -> None:
    assert len(text) <= units(text) <= 2 * len(text)


def test_pictures_are_told_apart_by_content_alt_and_order() -> None:
    one, other = Picture(b"1", "image/png", "a", 1, 1), Picture(b"2", "image/png", "a", 1, 1)
    renamed = Picture(b"1", "image/png", "b", 1, 1)
    sets = [(), (one,), (other,), (renamed,), (one, other), (other, one)]
    assert len({pictured(each) for each in sets}) == len(sets)
    assert pictured(()) == "" and pictured((one,)) == pictured([one])
