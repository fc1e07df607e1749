"""URLs in options: one spelling, clear refusals, no secrets shown."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleus_logging import endpoint


class TestNormalise:
    @pytest.mark.parametrize(
        ("url", "normal"),
        [
            ("wss://app.nucleus.sh", "wss://app.nucleus.sh"),
            ("wss://app.nucleus.sh/", "wss://app.nucleus.sh"),
            ("https://App.Nucleus.SH:443/", "wss://app.nucleus.sh"),
            ("WS://h:80", "ws://h"),
            ("http://h:4600", "ws://h:4600"),
            ("wss://h:80", "wss://h:80"),
            ("ws://h/base/path//", "ws://h/base/path"),
            ("ws://127.0.0.1:1", "ws://127.0.0.1:1"),
            ("ws://[0:0::1]:4600", "ws://[::1]:4600"),
            ("wss://bücher.example", "wss://xn--bcher-kva.example"),
            ("wss://under_score.example.", "wss://under_score.example."),
            ("https://h/in/{app_id}", "wss://h/in/{app_id}"),
            ("ws://h/{app_id}/", "ws://h/{app_id}/"),
        ],
    )
    def test_one_spelling(self, url: str, normal: str) -> None:
        """All spellings of one server come out as one."""
        assert endpoint.normalise(url) == normal
        assert endpoint.normalise(normal) == normal

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("app.nucleus.sh", "no scheme"),
            ("localhost:4600", "no scheme"),
            ("ftp://h", "unknown scheme 'ftp'"),
            ("://h", "unknown scheme ''"),
            ("wss://", "names no host"),
            ("wss://:443", "names no host"),
            ("wss://user:password@h", "credentials"),
            ("wss://h/?x=1", "query"),
            ("wss://h/#x", "query or fragment"),
            ("wss://h:0", "port"),
            ("wss://h:65536", "port"),
            ("wss://h:http", "port"),
            ("wss://a b", "blanks"),
            ("wss://h/\n", "blanks"),
            ("wss://h\\x", "backslashes"),
            ("wss://[::1", "host cannot be read"),
            ("wss://[::1]x:1", "host"),
            ("wss://[1::2::3]", "host|IPv6"),
            ("wss://[fe80::zz]", "host|IPv6"),
            ("wss://-h", "not a host name"),
            ("wss://a..b", "not a host name"),
            ("wss://" + "a" * 64, "not a host name"),
            ("wss://" + "é" * 64, "not a host name"),
            ("wss://" + "a." * 127 + "a", "not a host name"),
            ("wss://{app_id}.h", "only stand in its path"),
            ("wss://h/{id}", "only placeholder"),
            ("wss://h/{app_id", "only placeholder"),
            ("wss://h/é", "percent-encoded"),
        ],
    )
    def test_refused(self, url: str, reason: str) -> None:
        """What is no endpoint is refused, and the text says why."""
        with pytest.raises(ValueError, match=reason):
            endpoint.normalise(url)

    @given(st.text(max_size=60) | st.text(max_size=60).map("wss://{}".format))
    def test_any_text(self, url: str) -> None:
        """Any text is either refused with a ValueError or has one stable spelling."""
        try:
            normal = endpoint.normalise(url)
        except ValueError:
            return
        assert endpoint.normalise(normal) == normal
        assert urlsplit(endpoint.http_url(normal, "app")).hostname


class TestUrls:
    def test_base(self) -> None:
        """Below a base URL: the documented path first, then the official clients' one."""
        assert endpoint.websocket_urls("wss://h:1/base", "app") == (
            "wss://h:1/base/app/",
            "wss://h:1/base/app/app/track",
        )
        assert endpoint.http_url("wss://h:1/base", "app") == "https://h:1/base/app/app/track"
        assert endpoint.http_url("ws://h", "app") == "http://h/app/app/track"

    def test_whole(self) -> None:
        """A whole URL is used as it is, on either transport."""
        assert endpoint.websocket_urls("wss://h/x/{app_id}/y", "app") == ("wss://h/x/app/y",)
        assert endpoint.http_url("wss://h/x/{app_id}/y", "app") == "https://h/x/app/y"

    @given(st.text(min_size=1, max_size=20, alphabet=st.characters(codec="utf-8")))
    def test_app_id_is_one_segment(self, app_id: str) -> None:
        """Whatever an app id holds, it is one segment of the path and nothing else."""
        parts = urlsplit(endpoint.http_url("ws://h", app_id))
        _, first, second, third = parts.path.split("/")
        assert (first, unquote(second), third) == ("app", app_id, "track")
        assert not parts.query
        assert not parts.fragment


class TestProxyUrl:
    @pytest.mark.parametrize(
        ("url", "normal"),
        [
            ("proxy:3128", "http://proxy:3128"),
            ("HTTP://Proxy:3128/", "http://proxy:3128"),
            ("http://proxy", "http://proxy"),
            ("http://User:p%40ss@Proxy:80", "http://User:p%40ss@proxy:80"),
            ("socks5://[::1]:1080", "socks5://[::1]:1080"),
            ("socks5h://p", "socks5h://p"),
        ],
    )
    def test_accepted(self, url: str, normal: str) -> None:
        """What is a proxy keeps its credentials and gets a scheme."""
        assert endpoint.proxy_url(url) == normal

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("https://p", "unknown scheme 'https'"),
            ("socks4://p", "unknown scheme"),
            ("http://", "names no host"),
            ("http://p/path", "path, query or fragment"),
            ("http://p?x", "path, query or fragment"),
            ("http://p:x", "port"),
            ("p:1:user:secret", "port|host"),
            ("http://us er:secret@p", "blanks"),
        ],
    )
    def test_refused(self, url: str, reason: str) -> None:
        """What is none is refused, and the text shows no part of a password."""
        with pytest.raises(ValueError, match=reason) as caught:
            endpoint.proxy_url(url)
        assert "secret" not in str(caught.value)


class TestMask:
    @pytest.mark.parametrize(
        ("url", "masked"),
        [
            ("http://host:3128", "http://host:3128"),
            ("http://user:pass@host:1", "http://***@host:1"),
            ("http://user:p@ss://x@host", "http://***@host"),
            ("user:pass@host", "***@host"),
            ("host:1:user:pass", "host:***"),
            ("http://[::1]:80", "http://[::1]:80"),
            ("http://h/p?token=x", "http://h/p?***"),
            ("http://h/p#token=x", "http://h/p#***"),
            ("user:pass http://h", "***"),
        ],
    )
    def test_masked(self, url: str, masked: str) -> None:
        """What may be a secret is gone; what helps to find the mistake is left."""
        assert endpoint.mask(url) == masked

    @given(
        st.sampled_from(["", "http://", "ht tp://", "x@y://"]),
        st.text(max_size=10),
        st.text(max_size=20),
    )
    def test_never_shows_a_password(self, scheme: str, user: str, tail: str) -> None:
        """A password before an @ never shows, however malformed the URL around it is."""
        assert "S3cr3t" not in endpoint.mask(f"{scheme}{user}:S3cr3t@{tail}")
