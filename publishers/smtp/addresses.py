"""Addresses with letters beyond ASCII, in the form in which they can be sent to."""

import idna


def with_ascii_domain(address: str) -> str:
    """The address with its domain in A-labels (RFC 5891), which every server takes; the part before the @ as it is.

    Raises ValueError for a domain that can't exist.
    """
    local, at, domain = address.rpartition("@")
    if domain.isascii():
        return address
    try:
        return f"{local}{at}{idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError as error:
        raise ValueError(f"{domain!r} can't be a domain: {error}") from error
