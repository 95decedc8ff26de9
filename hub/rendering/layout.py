"""Styles moved onto the elements: many mail programs drop a style sheet, none drops a style attribute."""

from css_inline import CSSInliner

# At-rules stay in the head: dark mode is one. Nothing is ever fetched.
_INLINER = CSSInliner(keep_at_rules=True, load_remote_stylesheets=False, base_url=None)


def inlined(page: str) -> str:
    """The page with its rules inlined; at-rules stay in one style element."""
    return _INLINER.inline(page)
