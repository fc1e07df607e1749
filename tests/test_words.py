"""A name is secret by its words, in any spelling; what only resembles one is not."""

from __future__ import annotations

import pytest

from nucleus_logging.words import PAIRS, WHOLE, WORDS, SecretNames


@pytest.fixture(scope="module")
def names() -> SecretNames:
    return SecretNames()


@pytest.mark.parametrize(
    "name",
    [
        "password", "PASSWORD", "user.password", "userPassword", "db_passwd", "password_hash",
        "secret", "client_secret", "token", "accessToken", "access-token", "csrftoken",
        "api_key", "apiKey", "APIKey", "X-API-Key", "x_api_key", "apikey", "Authorization",
        "HTTP_AUTHORIZATION", "proxy-authorization", "cookie", "Set-Cookie", "cookies",
        "session", "session_id", "sessionid", "PHPSESSID", "request.session.id", "csrf",
        "X-CSRFToken", "XSRF-TOKEN", "creditCard", "credit_card_number", "card_number", "ssn",
        "private_key", "ssh-key", "dsn", "SENTRY_DSN", "credentials", "aws_secret_access_key",
        "apiToken", "secretAccessKey", "AWS_SECRET_ACCESS_KEY", "Proxy-Authorization", "ccNumber",
        "pass", "smtp_pass", "dbPass", "pw", "MYSQL_PWD", "cardPin", "connectionString",
        "SharedAccessSignature",
        "X-Amz-Signature", "Ocp-Apim-Subscription-Key", "recovery_codes", "consumer_secret",
        "awssecretaccesskey", "user.sessionToken.value", "привет_password",
        "PGPASSWORD", "password2", "mytoken", "newpasswordagain",
        "jwt", "cvv", "refresh_tokens", "password.0", "passphrase",
    ],
)  # fmt: skip
def test_secret_names(names: SecretNames, name: str) -> None:
    """Names that mean a secret, in any spelling and at any depth."""
    assert names.secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "user", "key", "keys", "keyboard", "author", "authority", "token_count", "tokens",
        "max_tokens", "prompt_tokens", "session_count", "sessionDuration", "password_changed",
        "cookie_name", "secretary", "passenger", "compass", "card", "monkey", "primary_key",
        "tokens_used", "passport_office", "passport", "passengers", "authors", "authored",
        "tokenizer", "tokenized", "passwordless", "password_strength", "cookie_policy",
        "SESSION_COOKIE_SECURE", "SESSION_COOKIE_AGE", "csrf_failure_reason", "jwt_algorithm",
        "token_bucket", "password_reset_requested", "cardinality", "discard", "pinned", "spin",
        "hotpot", "possession", "sidebar", "secretariat", "keyboard_layout", "business_card",
        "token_type", "inside", "auth_method", "level", "logger", "message", "stack", "", ".",
        "assn", "foreign_key", "obsession", "passed", "bypass", "session_timeout",
    ],
)  # fmt: skip
def test_harmless_names(names: SecretNames, name: str) -> None:
    """Names that only resemble one, or tell something about a secret."""
    assert not names.secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "iban", "customer.IBAN", "ibanOld", "old-iban", "iban_count", "tax_id", "taxId",
        "customer.tax-id", "taxid",
    ],
)  # fmt: skip
def test_further_names(name: str) -> None:
    """Names given by the user count in any spelling, whatever stands around them."""
    assert SecretNames(["iban", "tax_id"]).secret(name)
    assert not SecretNames().secret(name)


def test_what_is_remembered_is_bounded() -> None:
    """A million different names do not fill the memory, and verdicts stay right."""
    names = SecretNames()
    for number in range(10_000):
        assert not names.secret(f"k{number}")
    assert names.secret("password")
    assert len(names.known) < 5000


def test_words_that_stand_beside_each_other() -> None:
    """In prose a name may be two words: those that name a secret together, and no others."""
    names = SecretNames(["tax_id"])
    assert names.together("API", "Key")
    assert names.together("tax", "id")
    assert not names.together("primary", "key")
    assert not names.together("secret", "santa")


def test_every_word_is_one(names: SecretNames) -> None:
    """No entry of the lists is made ineffective by another."""
    for name in (*WORDS, *PAIRS, *WHOLE):
        assert names.secret(name), name
