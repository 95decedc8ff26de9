"""Pictures: taken into the library without metadata, and re-encoded for each network.

Whatever a file claims, only its pixels are kept: no place where it was taken, no name of a camera or of a person
(GDPR, article 5: data minimisation).
"""

import io
import warnings
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageOps, UnidentifiedImageError

from publishers.base import PostForm
from schemas.messages import Picture
from store.pictures import Entry

LIMIT_OCTETS = 25_000_000
LIMIT_PIXELS = 50_000_000
_STORED_SIDE = 2560
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_QUALITIES = (88, 80, 72, 64, 56)
_SMALLEST_SIDE = 200


class BadPicture(ValueError):
    """A file that can't be in the library: what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture's bytes and measures."""

    content: bytes
    media_type: Literal["image/jpeg", "image/png"]
    width: int
    height: int


def taken_in(content: bytes) -> Encoded:
    """The picture as the library keeps it: upright, at most 2,560 pixels a side, no metadata. Raises BadPicture."""
    if len(content) > LIMIT_OCTETS:
        raise BadPicture(f"the file has {len(content):,} octets, more than {LIMIT_OCTETS:,}: make it smaller")
    return _saved(_within(_opened(content), _STORED_SIDE), 92)


def encoded(entry: Entry, form: PostForm) -> Encoded:
    """The picture as a network takes it, within its sides and octets. Raises BadPicture."""
    image = _opened(entry.content)
    side = form.picture_side
    while True:
        image = _within(image, side)
        for quality in _QUALITIES:
            found = _saved(image, quality)
            if len(found.content) <= form.picture_octets:
                return found
            if found.media_type == "image/png":
                image = _flattened(image)  # a photograph saved as PNG: JPEG makes it a tenth
        if side <= _SMALLEST_SIDE:
            raise BadPicture(f"{entry.name} can't be made small enough")
        side = min(side, max(image.size)) * 3 // 4


def worded(entry: Entry, made: Encoded, language: str) -> Picture:
    """A picture that is made ready, with its alternative text in the post's language."""
    alt = entry.alt.get(language) or entry.alt["fr"]
    return Picture(made.content, made.media_type, alt, made.width, made.height)


def _opened(content: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=_FORMATS)
            if image.width * image.height > LIMIT_PIXELS:
                raise BadPicture(f"it has {image.width} × {image.height} pixels: more than anybody's screen")
            image.load()
            upright = ImageOps.exif_transpose(image)
            upright.format = image.format
            return upright
    except BadPicture:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise BadPicture("it has more pixels than anybody's screen") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise BadPicture("it is no picture that can be read: use JPEG, PNG, WebP or GIF") from error


def _flattened(image: Image.Image) -> Image.Image:
    """On white, since JPEG knows no transparency."""
    canvas = Image.new("RGB", image.size, "white")
    layered = image.convert("RGBA")
    canvas.paste(layered, mask=layered.getchannel("A"))
    canvas.format = "JPEG"
    return canvas


def _within(image: Image.Image, side: int) -> Image.Image:
    """Ready to be saved: plain colours, no metadata, no side longer than that."""
    transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    drawing = transparent or image.mode in ("P", "1", "L") or image.format == "PNG"
    pixels = image.convert("RGBA" if transparent else "RGB")
    pixels.info.clear()  # Pillow writes comments and XMP that it finds there
    pixels.thumbnail((side, side), Image.Resampling.LANCZOS)
    pixels.format = "PNG" if drawing else "JPEG"
    return pixels


def _saved(image: Image.Image, quality: int) -> Encoded:
    """Drawings, maps and what is transparent as PNG, photographs as JPEG."""
    out = io.BytesIO()
    if image.format == "PNG":
        image.save(out, "PNG")
        return Encoded(out.getvalue(), "image/png", image.width, image.height)
    image.save(out, "JPEG", quality=quality, progressive=True)
    return Encoded(out.getvalue(), "image/jpeg", image.width, image.height)
