"""One canonical spelling for every path a client may use."""

import pytest

from gateway.api.paths import account_of, canonical, is_account_id


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/client/v4", "/"),
        ("/client/v4/", "/"),
        ("/client/v45/x", "/client/v45/x"),
        ("/client/v4/user/tokens/verify", "/user/tokens/verify"),
        ("/client/v4//accounts/a/ai/run/@cf/x/y/", "/accounts/a/ai/run/@cf/x/y"),
        ("//client//v4/accounts/a", "/accounts/a"),
        ("/accounts/a/client/v4", "/accounts/a/client/v4"),
    ],
)
def test_prefix_and_superfluous_slashes_vanish(path: str, expected: str) -> None:
    assert canonical(path) == expected


@pytest.mark.parametrize(
    ("path", "account"),
    [("/accounts/abc/ai/run/x", "abc"), ("/accounts/abc", "abc"), ("/accounts", None), ("/x/accounts/abc", None)],
)
def test_account_of_a_path(path: str, account: str | None) -> None:
    assert account_of(path) == account


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("0" * 32, True),
        ("aF" * 16, True),
        ("0" * 31, False),
        ("0" * 33, False),
        ("g" * 32, False),
        ("0" * 32 + "\n", False),
    ],
)
def test_account_ids_are_32_hexadecimal_digits(text: str, good: bool) -> None:
    assert is_account_id(text) is good
