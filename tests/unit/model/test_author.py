"""When a From leaves room for doubt."""

import pytest

from mta.model.address import Mailbox
from mta.model.author import FromField

ANN = Mailbox("ann", "A.example", "a.example")
BOB = Mailbox("bob", "b.example", "b.example")


@pytest.mark.parametrize(
    ("field", "ambiguous"),
    [
        (FromField(), False),
        (FromField((ANN,), 1), False),
        (FromField((ANN,), 2), True),
        (FromField((ANN, BOB), 1), True),
        (FromField((ANN,), 1, "a comma too many"), True),
        (FromField((), 1, "unreadable"), True),
    ],
)
def test_a_from_is_ambiguous_unless_one_field_names_one_author(field: FromField, ambiguous: bool) -> None:
    assert field.ambiguous is ambiguous


def test_domains_come_once_each_in_order_and_compared_form() -> None:
    assert FromField((BOB, ANN, BOB), 1).domains == ("b.example", "a.example")
