"""How Facebook and Telegram count a text: in UTF-16 code units, so that an emoji outside the first plane is two."""


def units(text: str) -> int:
    """UTF-16 code units of a text."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
