// One event: its fields, its stack, its trail, and what its session did before and after.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact/standalone.module.js";
import { ask } from "./api.js";
import { Copy } from "./copy.js";
import { condition, withWord } from "./filter.js";
import { clock, cut, fullDate, levelClass, levelWord, text } from "./format.js";
import { Grip } from "./grip.js";
import { Stack } from "./stack.js";

const LONG = new Set(["stack", "trail"]);
const NOT_FILTERED = new Set(["seq", "received", "date", "totalRam", "process"]);
const SHOWN_ABOVE = new Set(["payload", "date", "name"]);
const FIRST = ["app", "user", "session", "version", "type", "level"];
const NEAR = 8; // events of the session before and after

export function Detail({ event, filter, go, actions, onClose, onSelect, children }) {
  const payload = event.payload || {};
  const add = (field, value) => (click) =>
    go({ filter: withWord(filter, condition(field, value, click.altKey)), event: "" });
  const fields = [...FIRST, ...Object.keys(event)]
    .filter((key, index, all) => key in event && !SHOWN_ABOVE.has(key) && all.indexOf(key) === index)
    .map((key) => [key, event[key]]);
  const said = Object.entries(payload).filter(([key, value]) => !LONG.has(key) || typeof value !== "string");
  return html`
    <${Grip} />
    <aside class=${`detail level-${levelClass(event.level)}`} aria-label="Event">
      <header>
        <span class="level">${levelWord(event.level)}</span>
        <h2>${cut(event.name || event.type, 500)}</h2>
        <span class="copies">
          <${Copy} value=${() => JSON.stringify(event, null, 2)}>copy as JSON<//>
          <${Copy} value=${() => location.href}>copy link<//></span>
        <button class="icon" aria-label="Close" onClick=${onClose}>×</button>
      </header>
      ${children}
      <div class="body">
        <p class="quiet">${fullDate(event.date)}</p>
        <${Fields} rows=${said.map(([key, value]) => [key, value, `payload.${key}`])} add=${add} />
        ${typeof payload.stack === "string" && html`<${Stack} key=${event.seq} stack=${payload.stack} />`}
        ${typeof payload.trail === "string" && html`<${Trail} trail=${payload.trail} />`}
        <${Session} event=${event} actions=${actions} onSelect=${onSelect} />
        <h3>Envelope</h3>
        <${Fields} rows=${fields.map(([key, value]) => [key, value, NOT_FILTERED.has(key) ? null : key])} add=${add} />
      </div>
    </aside>`;
}

function Fields({ rows, add }) {
  return html`<table class="fields"><tbody>
    ${rows.map(([key, value, field]) => html`
      <tr key=${key}><th scope="row">${key}</th><td>
        ${field && typeof value !== "object"
          ? html`<button class="value" title="filter by this; with Alt: exclude it"
              onClick=${add(field, value)}><${Long} value=${text(value)} /></button>`
          : html`<span class="value"><${Long} value=${text(value)} /></span>`}
      </td></tr>`)}
  </tbody></table>`;
}

// A megabyte in one cell would stall the page: shown in part, whole on demand.
function Long({ value }) {
  const [whole, setWhole] = useState(false);
  if (whole || value.length <= 4000) return value;
  const more = (event) => { event.stopPropagation(); setWhole(true); };
  return html`${cut(value, 4000)} <span class="link" role="button" tabindex="0" onClick=${more}
    onKeyDown=${(event) => event.key === "Enter" && more(event)}>all ${value.length} characters</span>`;
}

// A line for each record before the error: seconds, level, name.
function Trail({ trail }) {
  const steps = trail.split("\n").map((line) => line.match(/^(-?[\d.]+) (\w+) ([^]*)$/) || [line, "", "", line]);
  return html`<h3>Trail</h3><ol class="trail">${steps.map(([, seconds, level, name]) => html`
    <li class=${`level-${levelClass(level)}`}><span class="time">${seconds && `${seconds} s`}</span>
      <span class="level">${levelWord(level)}</span><span class="name">${name}</span></li>`)}</ol>`;
}

// The session's neighbours of this event; the arrow keys walk along them.
function Session({ event, actions, onSelect }) {
  const [strip, setStrip] = useState([]);
  const at = useRef(event.seq); // known at once, so that quick presses are not lost
  at.current = event.seq;
  useEffect(() => {
    const abort = new AbortController();
    setStrip((before) => (before.some((one) => one.seq === event.seq) ? before : []));
    if (event.session) {
      // Sessions' numbers are short: another device may have the same one.
      const filter = ["session", "app", "device"].filter((field) => event[field])
        .map((field) => condition(field, event[field])).join(" ");
      Promise.all([
        ask("events", { filter, until: event.date + 1, limit: NEAR }, abort.signal),
        ask("events", { filter, since: event.date, until: event.date + 600_000, limit: 1000 }, abort.signal),
      ]).then(([before, after]) => {
        const near = new Map();
        for (const one of [...after.events.slice(-NEAR), ...before.events]) near.set(one.seq, one);
        setStrip([...near.values()].sort((one, other) => one.date - other.date || one.seq - other.seq));
      }, () => {});
    }
    return () => abort.abort();
  }, [event.seq]);
  const walk = (step) => () => {
    const next = strip[strip.findIndex((one) => one.seq === at.current) + step];
    if (!next) return false;
    at.current = next.seq;
    return onSelect(next);
  };
  Object.assign(actions, { before: walk(-1), after: walk(1) });
  useEffect(() => () => Object.assign(actions, { before: null, after: null }), [actions]);
  if (strip.length < 2) return null;
  return html`<h3>Session <small>← →</small></h3><ol class="strip">
    ${strip.map((one) => html`
      <li key=${one.seq} class=${`level-${levelClass(one.level)}`}>
        <button aria-current=${one.seq === event.seq ? "true" : undefined} onClick=${() => onSelect(one)}>
          <span class="time">${clock(one.date)}</span><span class="level">${levelWord(one.level)}</span>
          <span class="name">${cut(one.name || one.type, 80)}</span></button></li>`)}
  </ol>`;
}
