import pytest

from publishers.latest import Latest

pytestmark = pytest.mark.unit


def test_the_latest_are_kept_and_setting_again_makes_late() -> None:
    latest: Latest[str, int] = Latest(2)
    latest["a"], latest["b"], latest["a"] = 1, 2, 3
    latest["c"] = 4
    assert dict(latest) == {"a": 3, "c": 4}
    latest.setdefault("d", 5)
    assert list(latest) == ["c", "d"]
