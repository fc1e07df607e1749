// The page put together: bar, tabs, keys, and everything that is in the address.

import { html, render, useEffect, useMemo, useRef, useState } from "./vendor/htm-preact/standalone.module.js";
import { Errors } from "./errors.js";
import { Feed } from "./feed.js";
import { Figures } from "./figures.js";
import { FilterBar, condition, onlyValue, toggled } from "./filter.js";
import { count, span } from "./format.js";
import { Help, useKeys } from "./keys.js";
import { Live } from "./live.js";
import { Overview } from "./overview.js";
import { useUnseenErrors } from "./title.js";

const VIEWS = ["live", "errors", "overview"];
const RANGES = { "15m": 15, "1h": 60, "6h": 360, "24h": 1440, "7d": 10080, all: 0 };
const RANGE_NAMES = { "15m": "last 15 min", "1h": "last hour", "6h": "last 6 hours", "24h": "last 24 hours", "7d": "last 7 days", all: "all time" };
const NAMES = ["view", "app", "filter", "range", "since", "until", "event", "group"];
const RATE_SECONDS = 5;

function readAddress() {
  const query = new URLSearchParams(location.search);
  return Object.fromEntries(NAMES.map((name) => [name, query.get(name) || ""]));
}

function useAddress() {
  const [url, setUrl] = useState(readAddress);
  const go = (to) => setUrl((before) => {
    const next = { ...before, ...to };
    const given = NAMES.filter((name) => next[name]).map((name) => [name, next[name]]);
    const address = `${location.pathname}?${new URLSearchParams(given)}`;
    // Another view is a step that "back" undoes; typing and opening are not.
    history[to.view && to.view !== before.view ? "pushState" : "replaceState"](null, "", address.replace(/\?$/, ""));
    return next;
  });
  useEffect(() => {
    const back = () => setUrl(readAddress());
    addEventListener("popstate", back);
    return () => removeEventListener("popstate", back);
  }, []);
  return [url, go];
}

function useTheme() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme || "");
  return [theme, () => {
    const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const next = dark ? "light" : "dark";
    localStorage.setItem("theme", next);
    document.documentElement.dataset.theme = next;
    setTheme(next);
  }];
}

// What the server says, whatever view is shown: the events, and the figures of the range.
function useServer({ filter, app, minutes, since, until }) {
  const [, redraw] = useState(0);
  const [figures, setFigures] = useState({ apps: null, stats: null, errors: null, reached: true });
  const server = useRef({ feed: null, arrivals: [] }).current;
  const unseen = useUnseenErrors();
  const changed = () => redraw((number) => number + 1);

  useEffect(() => {
    const query = { filter, since: minutes ? Date.now() - minutes * 60_000 : since, until };
    server.feed = new Feed(query, changed, (events) => {
      const now = Date.now();
      server.arrivals = server.arrivals.filter(([date]) => now - date < RATE_SECONDS * 1000);
      server.arrivals.push([now, events.length]);
      server.figures.soon();
      unseen(events);
    });
    return () => { server.feed.changed = () => {}; server.feed.close(); };
  }, [filter, minutes, since, until]);
  useEffect(() => {
    server.figures = new Figures({ app, minutes, since, until },
      (found) => setFigures((before) => ({ ...before, ...found })));
    return () => server.figures.close();
  }, [app, minutes, since, until]);
  useEffect(() => {
    const looked = () => document.hidden || server.figures.soon(0);
    document.addEventListener("visibilitychange", looked);
    return () => document.removeEventListener("visibilitychange", looked);
  }, []);

  const { feed } = server;
  const online = figures.reached && (!feed || (feed.connected && !feed.failure));
  useEffect(() => { if (feed && feed.connected) server.figures.soon(0); }, [feed && feed.connected]);
  const recent = server.arrivals.filter(([date]) => Date.now() - date < RATE_SECONDS * 1000);
  const rate = Math.round(recent.reduce((sum, [, number]) => sum + number, 0) / RATE_SECONDS);
  return { feed, figures, online, rate };
}

function App() {
  const [url, go] = useAddress();
  const [theme, switchTheme] = useTheme();
  const [paused, setPaused] = useState(false);
  const [help, setHelp] = useState(false);
  const input = useRef(null);
  const actions = useRef({});

  const view = VIEWS.includes(url.view) ? url.view : "live";
  const range = url.since ? "" : url.range in RANGES ? url.range : "15m";
  const { feed, figures, online, rate } = useServer({
    filter: [url.app && condition("app", url.app), url.filter].filter(Boolean).join(" "),
    app: url.app || onlyValue(url.filter, "app"), minutes: url.since ? 0 : RANGES[range],
    since: url.since ? Number(url.since) : 0, until: url.until ? Number(url.until) : "",
  });
  // Each view says anew what its keys do.
  useMemo(() => { actions.current = {}; }, [view]);
  const act = (name) => () => (actions.current[name] ? actions.current[name]() : false);
  const turnTo = (name) => go({ view: name, event: "", group: "" });
  useKeys({
    "/": () => input.current.focus(), j: act("next"), k: act("previous"), Enter: act("open"), Escape: act("back"),
    ArrowLeft: act("before"), ArrowRight: act("after"), p: () => setPaused(!paused), "?": () => setHelp(true),
    e: () => go({ filter: toggled(url.filter, ["level:error", "level:critical"]), event: "" }),
    1: () => turnTo("live"), 2: () => turnTo("errors"), 3: () => turnTo("overview"),
  });

  const { apps, stats, errors } = figures;
  const state = paused ? "paused" : !online ? "offline" : url.until ? "past" : "live";
  const shared = { url, go, figures, actions: actions.current };
  return html`
    <header class="bar">
      <h1 class="brand">nucleus-logging</h1>
      <select aria-label="App" value=${url.app} onChange=${(event) => go({ app: event.target.value, event: "", group: "" })}>
        <option value="">all apps</option>
        ${(apps || []).map(({ app }) => html`<option key=${app} value=${app}>${app}</option>`)}
        ${url.app && !(apps || []).some(({ app }) => app === url.app) && html`<option value=${url.app}>${url.app}</option>`}
      </select>
      <${FilterBar} filter=${url.filter} view=${view} rows=${feed ? feed.rows : []} input=${input} onFilter=${(filter) => go({ filter, event: "" })} />
      <select aria-label="Range" value=${range} onChange=${(event) => go({ range: event.target.value, since: "", until: "", event: "" })}>
        ${!range && html`<option value="">${span(Number(url.since), Number(url.until))}</option>`}
        ${Object.entries(RANGE_NAMES).map(([name, text]) => html`<option key=${name} value=${name}>${text}</option>`)}
      </select>
      <button class="state" aria-pressed=${paused} aria-label=${`${state}, pause`} onClick=${() => setPaused(!paused)} title="pause (p)">
        <span class=${`dot${state === "live" ? "" : " off"}`}></span>${state}</button>
      <button class="icon" aria-label="Keys" title="keys (?)" onClick=${() => setHelp(true)}>?</button>
      <button class="icon" aria-label="Switch between light and dark" onClick=${switchTheme}>◐</button>
    </header>
    <nav class="tabs" aria-label="Views">
      ${VIEWS.map((name, index) => html`
        <button key=${name} aria-current=${name === view ? "page" : undefined} onClick=${() => turnTo(name)}
          title=${`key ${index + 1}`}>${name[0].toUpperCase() + name.slice(1)}${name === "errors" && html`
          <span class=${`badge${errors && errors.length ? "" : " none"}`}>${errors ? errors.length : 0}</span>`}</button>`)}
      <span class="figures" role="status" aria-live=${online ? "off" : "polite"}>${online
        ? stats && html`<span class="number large">${count(stats.events)}</span> <span class="unit">${stats.events === 1 ? "event" : "events"}</span> · <span class="number">${count(rate)}</span>/s<span
            class="wide"> · <span class="number">${count(stats.sessions)}</span> <span class="unit large">${stats.sessions === 1 ? "session" : "sessions"}</span></span>`
        : "connection lost, trying again"}</span>
    </nav>
    ${view === "live" && html`<${Live} ...${shared} feed=${feed} paused=${paused} />`}
    ${view === "errors" && html`<${Errors} ...${shared} />`}
    ${view === "overview" && html`<${Overview} ...${shared} theme=${theme} />`}
    ${help && html`<${Help} onClose=${() => setHelp(false)} />`}`;
}

render(html`<${App} />`, document.getElementById("app"));
