// The page put together: bar, tabs, keys, and everything that is in the address.

import { html, render, useEffect, useMemo, useRef, useState } from "./vendor/htm-preact/standalone.module.js";
import { ask } from "./api.js";
import { Errors } from "./errors.js";
import { FilterBar, condition, withWord, without, words } from "./filter.js";
import { count } from "./format.js";
import { Live } from "./live.js";
import { Overview } from "./overview.js";

const VIEWS = ["live", "errors", "overview"];
const RANGES = { "15m": 15, "1h": 60, "6h": 360, "24h": 1440, "7d": 10080, all: 0 };
const RANGE_NAMES = { "15m": "last 15 min", "1h": "last hour", "6h": "last 6 hours", "24h": "last 24 hours", "7d": "last 7 days", all: "all time" };
const KEYS = [["/", "filter"], ["j / k", "next, previous"], ["Enter", "open"], ["Esc", "back"], ["p", "pause"],
  ["e", "errors only"], ["← / →", "along the session"], ["1 2 3", "views"], ["?", "this list"]];
const NAMES = ["view", "app", "filter", "range", "since", "until", "event", "group"];

function readAddress() {
  const query = new URLSearchParams(location.search);
  return Object.fromEntries(NAMES.map((name) => [name, query.get(name) || ""]));
}

function App() {
  const [url, setUrl] = useState(readAddress);
  const [apps, setApps] = useState([]);
  const [paused, setPaused] = useState(false);
  const [help, setHelp] = useState(false);
  const [tick, setTick] = useState(0);
  const [figures, setFigures] = useState({ events: 0, sessions: 0, rate: 0 });
  const [connected, setConnected] = useState(true);
  const [rows, setRows] = useState([]);
  const [errors, setErrors] = useState(0);
  const [theme, setTheme] = useState(document.documentElement.dataset.theme || "");
  const input = useRef(null);
  const actions = useRef({}).current;
  const arrivals = useRef([]);

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

  const view = VIEWS.includes(url.view) ? url.view : "live";
  const range = url.since ? "" : url.range in RANGES ? url.range : "15m";
  const query = useMemo(() => {
    const filter = [url.app && condition("app", url.app), url.filter].filter(Boolean).join(" ");
    const minutes = RANGES[range];
    const since = url.since ? Number(url.since) : minutes ? Date.now() - minutes * 60_000 : 0;
    return { filter, since, until: url.until ? Number(url.until) : "" };
  }, [url.app, url.filter, range, url.since, url.until, view === "live" ? 0 : tick]);

  useEffect(() => {
    const timer = setInterval(() => document.hidden || setTick((number) => number + 1), 5000);
    return () => clearInterval(timer);
  }, []);
  useEffect(() => {
    ask("apps").then((found) => setApps(found.apps), () => {});
    ask("stats", { app: url.app, since: query.since, until: query.until, buckets: 1 }).then((found) => {
      const recent = arrivals.current.filter((date) => Date.now() - date < 5000);
      arrivals.current = recent;
      setFigures({ events: found.events, sessions: found.sessions, rate: Math.round(recent.length / 5) });
    }, () => {});
    ask("errors", { app: url.app, since: query.since, until: query.until }).then((found) => setErrors(found.errors.length), () => {});
  }, [tick, url.app, query.since, query.until]);

  const unseen = useUnseenErrors();
  const onArrival = (events) => {
    const now = Date.now();
    for (const event of events) arrivals.current.push(now);
    unseen(events.filter((event) => event.level === "error" || event.level === "critical").length);
  };

  const errorsOnly = () => go({ filter: words(url.filter).includes("level:error")
    ? without(url.filter, "level:error") : withWord(url.filter, "level:error") });
  useKeys({ input, actions, go, help, setHelp, pause: () => setPaused((before) => !before), errorsOnly });
  const switchTheme = () => {
    const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const next = dark ? "light" : "dark";
    localStorage.setItem("theme", next);
    document.documentElement.dataset.theme = next;
    setTheme(next);
  };

  const shared = { url, go, query, actions, tick, app: url.app };
  return html`
    <header class="bar">
      <strong class="brand">nucleus-logging</strong>
      <select aria-label="App" value=${url.app} onChange=${(event) => go({ app: event.target.value, event: "", group: "" })}>
        <option value="">all apps</option>
        ${apps.map(({ app }) => html`<option key=${app} value=${app}>${app}</option>`)}
        ${url.app && !apps.some(({ app }) => app === url.app) && html`<option value=${url.app}>${url.app}</option>`}
      </select>
      <${FilterBar} filter=${url.filter} rows=${rows} input=${input} onFilter=${(filter) => go({ filter, event: "" })} />
      <select aria-label="Range" value=${range} onChange=${(event) => go({ range: event.target.value, since: "", until: "", event: "" })}>
        ${!range && html`<option value="">zoomed</option>`}
        ${Object.entries(RANGE_NAMES).map(([name, text]) => html`<option key=${name} value=${name}>${text}</option>`)}
      </select>
      <button class="state" aria-pressed=${paused} onClick=${() => setPaused(!paused)} title="pause (p)">
        <span class=${`dot${connected ? "" : " off"}`}></span>${paused ? "paused" : "live"}</button>
      <button class="icon" aria-label="Switch between light and dark" onClick=${switchTheme}>◐</button>
    </header>
    <nav class="tabs" aria-label="Views">
      ${VIEWS.map((name, index) => html`
        <button key=${name} aria-current=${name === view ? "page" : undefined} onClick=${() => go({ view: name, event: "", group: "" })}
          title=${`key ${index + 1}`}>${name[0].toUpperCase() + name.slice(1)}${name === "errors" && errors ? html` <span class="badge">${errors}</span>` : ""}</button>`)}
      <span class="figures">${connected ? html`${count(figures.events)} events · ${count(figures.rate)}/s · ${count(figures.sessions)} sessions`
        : html`<span role="status">connection lost, trying again</span>`}</span>
    </nav>
    ${view === "live" && html`<${Live} ...${shared} paused=${paused} onArrival=${onArrival}
      onFeed=${(feed) => { setConnected(feed.connected && !feed.failure); setRows(feed.rows); }} />`}
    ${view === "errors" && html`<${Errors} ...${shared} onCount=${setErrors} />`}
    ${view === "overview" && html`<${Overview} ...${shared} theme=${theme} />`}
    ${help && html`<dialog open class="help" aria-label="Keys"><h2>Keys</h2><table><tbody>
      ${KEYS.map(([key, text]) => html`<tr key=${key}><th><kbd>${key}</kbd></th><td>${text}</td></tr>`)}
      </tbody></table><button onClick=${() => setHelp(false)}>close</button></dialog>`}`;
}

function useKeys({ input, actions, go, help, setHelp, pause, errorsOnly }) {
  useEffect(() => {
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest("input, textarea, select")) return;
      const does = {
        "/": () => input.current.focus(),
        j: () => actions.next && actions.next(), k: () => actions.previous && actions.previous(),
        Enter: () => !event.target.closest("button, summary, [role=button]") && actions.open && actions.open(),
        Escape: () => (help ? setHelp(false) : actions.back && actions.back()),
        p: pause, e: errorsOnly, "?": () => setHelp(!help),
        1: () => go({ view: "live" }), 2: () => go({ view: "errors" }), 3: () => go({ view: "overview" }),
      }[event.key];
      if (does && does() !== false && event.key !== "Enter") event.preventDefault();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
}

// Title and favicon count the errors that came while nobody looked.
function useUnseenErrors() {
  const number = useRef(0);
  const show = () => {
    document.title = number.current ? `(${number.current}) nucleus-logging` : "nucleus-logging";
    const color = number.current ? "c4262e" : "0b62c4";
    document.getElementById("favicon").href = `data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='6' fill='%23${color}'/%3E%3C/svg%3E`;
  };
  useEffect(() => {
    const looked = () => { if (!document.hidden) { number.current = 0; show(); } };
    document.addEventListener("visibilitychange", looked);
    return () => document.removeEventListener("visibilitychange", looked);
  }, []);
  return (more) => {
    if (!more || !document.hidden) return;
    number.current += more;
    show();
  };
}

render(html`<${App} />`, document.getElementById("app"));
