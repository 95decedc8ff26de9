import pytest
from hypothesis import given
from hypothesis import strategies as st

from publishers.smpp.ids import Dialect, answered, ids_of, of_receipt, reference, reported, written

pytestmark = pytest.mark.unit

numbers = st.integers(0, 2**64)


@pytest.mark.parametrize(
    ("dialect", "answer", "receipt"),
    [
        ("as_is", "0118Z-0122I-2309U-57DGB", "0118Z-0122I-2309U-57DGB"),
        ("hex_to_decimal", "1A2B", "6699"),
        ("hex_to_decimal", "00001a2b", "0000006699"),
        ("hex_to_decimal", "1234", "4660"),
        ("decimal_to_hex", "6699", "1A2B"),
        ("decimal_to_hex", "0000006699", "1a2b"),
        ("any", "1A2B", "6699"),
        ("any", "6699", "0000006699"),
        ("any", "1a2b", "00001A2B"),
        ("any", "0118Z-0122I", "0118z-0122i"),
        ("any", "6699", "1A2B"),
    ],
)
def test_answer_and_receipt_meet_in_one_form(dialect: Dialect, answer: str, receipt: str) -> None:
    assert answered(answer, dialect) == reported(receipt, dialect)


@given(numbers, st.integers(0, 6), st.booleans())
def test_every_number_is_found_whatever_its_zeros_and_case(number: int, zeros: int, upper: bool) -> None:
    hexadecimal = "0" * zeros + (f"{number:X}" if upper else f"{number:x}")
    decimal = "0" * zeros + str(number)
    assert answered(hexadecimal, "hex_to_decimal") == reported(decimal, "hex_to_decimal") == str(number)
    assert answered(decimal, "decimal_to_hex") == reported(hexadecimal, "decimal_to_hex") == str(number)


@given(numbers, numbers)
def test_where_the_dialect_is_known_two_ids_are_never_taken_for_one(one: int, other: int) -> None:
    same = answered(f"{one:x}", "hex_to_decimal") == reported(str(other), "hex_to_decimal")
    assert same is (one == other)


@pytest.mark.parametrize("text", ["+1", "1_0", "٣", "", "-4", "0x1A"])
def test_what_is_no_number_stays_as_it_is(text: str) -> None:
    assert answered(text, "hex_to_decimal") == answered(text, "decimal_to_hex") == text


@pytest.mark.parametrize(
    ("words", "parameter", "expected"),
    [
        ("6699", None, "6699"),
        ("6699", "1A2B", "6699"),  # the parameter as answered, the words in decimal
        ("6699", "6699", "6699"),  # both as the words: never read as hexadecimal
        (None, "1A2B", "6699"),
        (None, None, None),
        ("", "", None),
    ],
)
def test_id_of_a_receipt_is_found_in_words_or_parameter(
    words: str | None, parameter: str | None, expected: str | None
) -> None:
    assert of_receipt(words, parameter, "hex_to_decimal") == expected


def test_reference_joins_the_parts_and_under_any_says_whose_it_is() -> None:
    assert reference(["a1"], "+33639980001", "as_is") == "a1"
    assert reference(["a1", "a2"], "+33639980001", "as_is") == "a1,a2"
    assert reference(["10", "11"], "+33639980001", "any") == "10,11@33639980001"
    assert reference(["a1", ""], "+33639980001", "as_is") is reference([], "+33639980001", "as_is") is None


@given(st.lists(numbers.map(str), min_size=1, max_size=15), st.sampled_from(["as_is", "any", "hex_to_decimal"]))
def test_ids_come_back_out_of_a_reference(ids: list[str], dialect: Dialect) -> None:
    joined = reference(ids, "+33639980001", dialect)
    assert joined is not None and ids_of(joined, dialect) == ids


def test_id_is_written_again_as_the_server_answered_it() -> None:
    assert written("6699", "hex_to_decimal") == "1a2b"
    assert written("6699", "decimal_to_hex") == written("6699", "as_is") == "6699"


def test_any_reads_an_id_without_letters_as_decimal_and_so_may_miss_its_receipt() -> None:
    assert answered("182429", "any") != reported("1582121", "any"), "0x182429 is 1582121"
