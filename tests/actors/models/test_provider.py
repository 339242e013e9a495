import pytest

from understudy.actors.models.provider import check_base_url, check_key
from understudy.messages.errors import ConfigError
from understudy.messages.secrets import Secret


@pytest.mark.parametrize(
    ("url", "usable"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("http://localhost:11434/v1/", "http://localhost:11434/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_usable_addresses(url: str, usable: str) -> None:
    """They lose their trailing slash and nothing else."""
    assert check_base_url(url) == usable


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("localhost:11434/v1", "'localhost:11434/v1' has no scheme; write 'https://localhost"),
        ("", "has no scheme"),
        ("ftp://host/v1", "scheme 'ftp'"),
        ("http:///v1", "names no host"),
        ("http://host:0/v1", "names no host"),
        ("http://host:99999/v1", "is not a URL"),
        ("http://[::1/v1", "is not a URL"),
        ("http://host/v1?api-version=1", "has a query"),
        ("http://host/v1#top", "has a query or a fragment"),
        ("http://user:pass@host/v1", "carries a user name"),
    ],
)
def test_addresses_that_cannot_work(url: str, told: str) -> None:
    """Each is named, with the remedy."""
    with pytest.raises(ConfigError) as caught:
        check_base_url(url)
    assert told in str(caught.value)
    assert str(caught.value).startswith("base_url")


@pytest.mark.parametrize(
    "url", ["http://me:s3cret@host/v1", "http://host/v1?key=s3cret", "me:s3cret@host"]
)
def test_no_secret_of_an_address_is_told(url: str) -> None:
    """Passwords and queries stay out of the error."""
    with pytest.raises(ConfigError) as caught:
        check_base_url(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("value", ["", "sk-a\n", "sk a", "sk-\u00e4", "sk-\x00"])
def test_a_key_that_no_header_can_carry(value: str) -> None:
    """It is refused without being quoted."""
    with pytest.raises(ConfigError, match="API key for openai") as caught:
        check_key(Secret(value), provider="openai")
    assert not value or value not in str(caught.value)
