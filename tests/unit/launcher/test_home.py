"""Where the home folder is, and what is said when it takes no file."""

import errno
from pathlib import Path

import pytest

from launcher.home import Home, find_home, unwritable
from launcher.supervisor import pause_before_restart

pytestmark = pytest.mark.unit


def test_named_home_wins_over_the_others() -> None:
    environ = {"TAMBOUR_HOME": "/srv/tambour", "XDG_DATA_HOME": "/data"}
    assert find_home(environ) == Home(Path("/srv/tambour"))


def test_data_folder_of_the_desktop_specification_comes_next() -> None:
    assert find_home({"XDG_DATA_HOME": "/data"}) == Home(Path("/data/tambour"))


def test_relative_data_folder_is_ignored_as_the_specification_says() -> None:
    assert find_home({"XDG_DATA_HOME": "data"}) == Home(Path.home() / ".local/share/tambour")


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "write access"), (errno.EROFS, "TAMBOUR_HOME")]
)
def test_unwritable_place_is_named_with_the_way_to_mend_it(code: int, words: str) -> None:
    message = str(unwritable(Path("/srv/tambour"), OSError(code, "no")))
    assert "/srv/tambour" in message
    assert words in message


def test_pauses_before_a_restart_double_up_to_half_a_minute() -> None:
    assert [pause_before_restart(deaths) for deaths in (1, 2, 3, 20)] == [0.5, 1.0, 2.0, 30.0]
