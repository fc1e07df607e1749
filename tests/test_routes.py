"""Which URL is tried next, from what became of those before."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nucleus_logging.options import Options
from nucleus_logging.transports.routes import Routes

DOCS = ("websocket", "ws://h/app/")
CLIENTS = ("websocket", "ws://h/app/app/track")
HTTP = ("http", "http://h/app/app/track")


def routes(**given: object) -> Routes:
    """The ways to one server, with an endpoint that is a base URL."""
    return Routes(Options.resolve("app", {"endpoint": "ws://h", **given}, environ={}))


def refuse_all(one: Routes, now: float) -> None:
    """Have both WebSocket paths refused."""
    for _ in range(2):
        assert one.current(now)[0] == "websocket"
        assert one.refused(now)


class TestAuto:
    def test_the_documented_path_first(self) -> None:
        """Without a refusal the path of the documentation is used, and used again."""
        one = routes()
        assert [one.current(now) for now in (0.0, 1.0, 1e6)] == [DOCS] * 3
        assert one.due() is None

    def test_a_refusal_leads_to_the_next(self) -> None:
        """Both WebSocket paths at once, then HTTP."""
        one = routes()
        assert one.current(0.0) == DOCS
        assert one.refused(0.0)
        assert one.current(0.0) == CLIENTS
        assert one.refused(0.0)
        assert one.current(0.0) == HTTP

    def test_the_one_that_worked_is_remembered(self) -> None:
        """A path that delivers is come back to, and one refusal of it is not the last straw."""
        one = routes()
        one.current(0.0)
        one.refused(0.0)
        one.worked()
        assert one.current(1e6) == CLIENTS
        assert one.refused(1e6)
        assert one.current(1e6) == DOCS
        assert one.refused(1e6)
        assert one.current(1e6) == HTTP

    def test_back_to_websockets_at_doubling_intervals(self) -> None:
        """On HTTP all WebSocket paths are tried after 30 s, then 60, 120, up to an hour."""
        one = routes()
        now, pauses = 0.0, []
        for _ in range(10):
            refuse_all(one, now)
            due = one.due()
            assert due is not None
            assert one.current(due - 0.001) == HTTP
            one.worked()
            pauses.append(due - now)
            now = due
        assert pauses == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]

    def test_a_websocket_that_works_begins_again(self) -> None:
        """After a WebSocket has delivered, the way back from HTTP is 30 s again."""
        one = routes()
        refuse_all(one, 0.0)
        refuse_all(one, 30.0)
        assert one.due() == 90.0
        assert one.current(90.0) == DOCS
        one.worked()
        assert one.due() is None
        refuse_all(one, 200.0)
        assert one.due() == 230.0

    def test_http_refused(self) -> None:
        """With nowhere else to go the next attempt waits."""
        one = routes()
        refuse_all(one, 0.0)
        assert one.current(1.0) == HTTP
        assert not one.refused(1.0)
        assert one.current(1.0) == HTTP

    def test_http_that_fails_when_it_is_time_to_return(self) -> None:
        """A refusal of HTTP is not put down to a WebSocket path that was not tried."""
        one = routes()
        refuse_all(one, 0.0)
        assert one.current(29.0) == HTTP
        assert not one.refused(31.0)
        assert one.current(31.0) == DOCS
        assert one.refused(31.0)
        assert one.current(31.0) == CLIENTS


class TestChosen:
    def test_websocket_alone(self) -> None:
        """`transport="websocket"` goes round its paths, pausing after each round."""
        one = routes(transport="websocket")
        for _ in range(3):
            assert one.current(0.0) == DOCS
            assert one.refused(0.0)
            assert one.current(0.0) == CLIENTS
            assert not one.refused(0.0)
        assert one.due() is None

    def test_http_alone(self) -> None:
        """`transport="http"` never tries a WebSocket."""
        one = routes(transport="http")
        assert one.current(0.0) == HTTP
        assert not one.refused(0.0)
        one.worked()
        assert one.current(1e6) == HTTP
        assert one.due() is None

    def test_an_endpoint_that_is_a_whole_url(self) -> None:
        """Where the path is given there is one, and HTTP has the same."""
        one = routes(endpoint="ws://h/in/{app_id}")
        assert one.current(0.0) == ("websocket", "ws://h/in/app")
        assert one.refused(0.0)
        assert one.current(0.0) == ("http", "http://h/in/app")


class RoutesMachine(RuleBasedStateMachine):
    """Whatever happens, there is a route, and each comes round."""

    @initialize(transport=st.sampled_from(["auto", "websocket", "http"]))
    def begin(self, transport: str) -> None:
        """Start with nothing known."""
        self.routes = routes(transport=transport)
        self.transport = transport
        self.now = 0.0
        self.used = self.routes.current(0.0)

    @rule(seconds=st.sampled_from([0.0, 1.0, 29.0, 31.0, 5000.0]))
    def wait(self, seconds: float) -> None:
        """Time goes by, with the connection as it is."""
        self.now += seconds

    @rule()
    def connect(self) -> None:
        """Ask where to connect to."""
        self.used = self.routes.current(self.now)

    @rule()
    def work(self) -> None:
        """Something is acknowledged: the next connection goes to the same place, unless HTTP."""
        self.routes.worked()
        if self.used[0] == "websocket":
            assert self.routes.current(self.now) == self.used

    @rule()
    def refuse(self) -> None:
        """The route is refused; another one is worth an attempt only if there is one."""
        elsewhere = self.routes.refused(self.now)
        if self.used == HTTP:
            assert not elsewhere
        if self.transport != "auto" and self.used != DOCS:
            assert not elsewhere or self.transport == "websocket"
        before, self.used = self.used, self.routes.current(self.now)
        if elsewhere:
            assert self.used != before

    @invariant()
    def allowed(self) -> None:
        """No route that was not asked for, and from HTTP there is always a way back."""
        assert self.used in (DOCS, CLIENTS, HTTP)
        assert self.transport in ("auto", self.used[0])
        due = self.routes.due()
        if self.transport == "auto" and self.routes.current(self.now) == HTTP:
            assert due is not None
            assert self.now < due <= self.now + 3600.0
        self.used = self.routes.current(self.now)


TestRoutesMachine = RoutesMachine.TestCase
TestRoutesMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
