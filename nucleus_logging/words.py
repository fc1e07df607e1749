"""Which names mean that what stands under them is secret: ``X-Api-Key``, ``userPassword``, ``dsn``.

Idea: a name is taken apart into words, in whatever way it is written, and judged by them: by one
that names a secret, by two that do so together, by a last one that shows that it only tells
something about a secret (``session_count``). Verdicts are kept, so that the names of fields cost
one look-up from then on.

Owns: the lists. Called by ``scrub`` for names of fields, by ``assignments`` for those in texts.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_REMEMBERED = 4096
_LONGEST = 200


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: Words that make the value of a name that holds them secret. ``tokens`` is none: it is a count.
WORDS = _listed(
    """
    password passwords passwd passwort pwd pswd psw pw passphrase passcode passkey secret secrets
    token authtoken accesstoken refreshtoken idtoken apitoken csrftoken csrfmiddlewaretoken apikey
    apikeys appkey authkey auth authorization authorisation cookie cookies csrf xsrf session
    sessions sessionid sessid phpsessid jsessionid aspxauth sid ssn dsn credential credentials
    creditcard cardnumber cvv cvc cvv2 privatekey privkey secretkey accesskey signingkey
    encryptionkey bearer jwt otp totp
    """
)
#: Two words that do so together.
PAIRS = _listed(
    """
    api_key api_keys app_key auth_key access_key account_key client_key private_key priv_key
    secret_key signing_key encryption_key ssh_key master_key shared_key service_key license_key
    deploy_key subscription_key credit_card debit_card card_number card_code card_pin cc_number
    security_code security_answer social_security access_tokens refresh_tokens auth_tokens
    api_tokens pass_word pass_phrase pin_code pin_number mfa_code recovery_code recovery_codes
    backup_codes connection_string access_signature amz_signature goog_signature user_pass db_pass
    smtp_pass mail_pass email_pass ftp_pass admin_pass root_pass login_pass
    """
)
#: Names that mean it when there is nothing else to them.
WHOLE = _listed("pass")
#: A name that ends so tells something about the secret, not the secret: ``session_count``.
ABOUT = _listed(
    """
    count counts total length len size type types kind name names limit limits age ttl expiry
    expires expired expiration index used usage max min rate valid invalid present missing changed
    required requested rotated enabled disabled secure httponly samesite ok status state reason
    strength policy consent banner domain algorithm alg bucket ring duration seconds ms time
    timeout at url uri endpoint path file field version start started end ended created updated
    method provider scheme backend engine
    """
)

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NO_WORD = re.compile(r"[\W_]+")
# Run together with others: PGPASSWORD, password2, mytoken; but not secretary, not passwordless.
_INSIDE = re.compile(
    r"password(?!less)|passwd|passphrase|(?:secret|token|apikey|secretkey|accesskey|privatekey)\d*$"
)


class SecretNames:
    """Tells secret names from others.

    Args:
        keys: further ones; ``tax_id`` also means ``taxId``, ``customer.tax-id``, ``OLD_TAX_ID``.

    Attributes:
        keys: the further ones, in words.
        known: verdicts on names that were asked before and need no repair; False: harmless.
    """

    __slots__ = ("keys", "known")

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self.keys = tuple(filter(None, (tuple(_words(key)) for key in keys)))
        self.known: dict[str, bool] = {}

    def secret(self, name: str) -> bool:
        """Tell whether the values under this name are secret; the verdict is kept.

        Args:
            name: of a field, with dots between its parts, or a part of one.
        """
        verdict = self.known.get(name)
        if verdict is None:
            verdict = self.judge(name)
            if 0 < len(name) <= _LONGEST and name.isprintable():
                self.remember(name, verdict)
        return verdict

    def remember(self, name: str, verdict: bool) -> None:
        """Keep a verdict, for a while; that on a ``value`` depends on what stands beside it."""
        if name.endswith("value"):
            return
        if len(self.known) >= _REMEMBERED:
            self.known.clear()
        self.known[name] = verdict

    def judge(self, name: str) -> bool:
        """Tell the same without keeping the verdict, for names that hardly come again."""
        return any(self._judge(_words(part)) for part in name[:_LONGEST].split("."))

    def together(self, one: str, other: str) -> bool:
        """Tell whether two words that stand beside each other name a secret, as ``api key``."""
        words = (one.lower(), other.lower())
        return "_".join(words) in PAIRS or words in self.keys

    def _judge(self, words: list[str]) -> bool:
        for key in self.keys:
            width = len(key)
            if any(tuple(words[i : i + width]) == key for i in range(len(words) - width + 1)):
                return True
            if "".join(key) == "".join(words):
                return True
        if not words or words[-1] in ABOUT:
            return False
        if len(words) == 1 and words[0] in WHOLE:
            return True
        if any(word in WORDS or _INSIDE.search(word) for word in words):
            return True
        return any(f"{one}_{other}" in PAIRS for one, other in pairwise(words))


def _words(name: str) -> list[str]:
    return [word for word in _NO_WORD.split(_CAMEL.sub("_", name[:_LONGEST]).lower()) if word]
