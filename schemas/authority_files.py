"""The file that describes authorities: TOML, as demo/authority.toml shows it, checked whole."""

import tomllib
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from schemas.authorities import Identity

Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=120, strip_whitespace=True)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AuthorityEntry(_Frozen):
    """One authority; ``parent`` is the code of its EPCI, ``rules`` a file beside this one."""

    code: Code
    parent: Code | None = None
    name: Label
    time_zone: str = "Europe/Paris"
    languages: tuple[str, ...] = Field(default=("fr",), min_length=1)
    rules: str | None = None
    identity: Identity
    areas: Mapping[Code, Label] = Field(default_factory=dict)


class AuthorityFile(_Frozen):
    """The whole file: themes that its authorities share (labels by language), and the authorities, parents first."""

    themes: Mapping[Code, Mapping[str, Label]] = Field(min_length=1)
    authority: tuple[AuthorityEntry, ...] = Field(min_length=1)


class AuthorityFileInvalid(ValueError):
    """Everything wrong with the file: ``faults``, as "place: what"."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def parse_authorities(text: str) -> AuthorityFile:
    """The authorities of a file. Raises AuthorityFileInvalid with every fault."""
    try:
        return AuthorityFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise AuthorityFileInvalid((f"not TOML: {error}",)) from None
    except ValidationError as error:
        raise AuthorityFileInvalid(
            tuple(
                f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            )
        ) from None
