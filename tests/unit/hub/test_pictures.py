"""Pictures: what is kept of a file, and what networks get."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hub.pictures import BadPicture, encoded, taken_in, worded
from publishers.base import PostForm
from store.pictures import Entry

pytestmark = pytest.mark.unit


def photograph(width: int = 640, height: int = 480, **saved: object) -> bytes:
    """Noise, which no encoder makes small."""
    image = Image.frombytes("RGB", (width, height), bytes((n * 7919) >> 3 & 255 for n in range(width * height * 3)))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95, **saved)
    return out.getvalue()


def drawing(mode: str = "RGBA", size: tuple[int, int] = (300, 200)) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, 1).save(out, "PNG")
    return out.getvalue()


def entry(content: bytes) -> Entry:
    taken = taken_in(content)
    alt = {"fr": "Plan de la déviation", "en": "Map of the detour"}
    return Entry("plan", taken.content, taken.media_type, taken.width, taken.height, alt, "Ville de Valmerande")


def with_metadata() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "Appareil de Camille"
    exif[0x0112] = 6  # to be turned by a quarter
    exif.get_ifd(0x8825)[2] = (47.0, 23.0, 11.0)  # GPS latitude
    return photograph(exif=exif.tobytes(), comment=b"chez moi", xmp=b"<x:xmpmeta>Camille</x:xmpmeta>")


def test_nothing_but_pixels_is_kept_of_a_file() -> None:
    source = with_metadata()
    assert b"Camille" in source
    taken = taken_in(source)
    assert b"Camille" not in taken.content and b"chez moi" not in taken.content
    assert not Image.open(io.BytesIO(taken.content)).getexif()


def test_a_photograph_stands_upright() -> None:
    taken = taken_in(with_metadata())
    assert (taken.width, taken.height) == (480, 640)


def test_a_drawing_stays_sharp_and_transparent() -> None:
    taken = taken_in(drawing())
    assert taken.media_type == "image/png"
    assert Image.open(io.BytesIO(taken.content)).mode == "RGBA"


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_every_way_to_store_colours_is_taken(mode: str) -> None:
    assert taken_in(drawing(mode)).width == 300


def test_the_library_keeps_no_giant() -> None:
    assert taken_in(drawing("1", (6000, 300))).width == 2560


@given(st.integers(60_000, 400_000), st.integers(200, 2000))
@settings(max_examples=5, deadline=None)
def test_a_picture_never_exceeds_what_a_network_takes(octets: int, side: int) -> None:
    form = PostForm(100, pictures=4, picture_octets=octets, picture_side=side)
    for content in (photograph(900, 700), drawing()):
        picture = encoded(entry(content), form)
        assert len(picture.content) <= octets
        assert max(picture.width, picture.height) <= side


def test_the_same_picture_is_the_same_bytes_each_time() -> None:
    form = PostForm(100, pictures=4, picture_octets=100_000)
    kept = entry(photograph())
    assert encoded(kept, form) == encoded(kept, form)


def test_alternative_text_is_in_the_posts_language() -> None:
    kept = entry(drawing())
    made = encoded(kept, PostForm(100, pictures=1))
    assert worded(kept, made, "en").alt == "Map of the detour"
    assert worded(kept, made, "oc").alt == "Plan de la déviation"


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", photograph()[:500]]
)
def test_what_is_no_picture_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(BadPicture, match="no picture that can be read"):
        taken_in(content)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked() -> None:
    out = io.BytesIO()
    Image.new("1", (20_000, 9_000)).save(out, "PNG")
    with pytest.raises(BadPicture, match="more"):
        taken_in(out.getvalue())
