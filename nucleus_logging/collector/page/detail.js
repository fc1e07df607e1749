// One event: its fields, its stack, its trail, and what its session did before and after.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact/standalone.module.js";
import { ask } from "./api.js";
import { condition, withWord } from "./filter.js";
import { clock, cut, fullDate, levelClass, levelWord, text } from "./format.js";

const LONG = new Set(["stack", "trail"]);
const NOT_FILTERED = new Set(["seq", "received", "date", "totalRam", "osVersion", "process"]);
const SHOWN_ABOVE = new Set(["payload", "date", "name"]);
const FIRST = ["app", "user", "session", "version", "type", "level"];
const LIBRARY = /site-packages|dist-packages|[/\\]lib[/\\]python\d|<frozen |node_modules|node:|\(native\)|webpack\/runtime/;

export function Detail({ event, filter, go, onClose, onSelect, children }) {
  const payload = event.payload || {};
  const add = (field, value) => (click) =>
    go({ filter: withWord(filter, condition(field, value, click.altKey)), event: "" });
  const fields = [...FIRST, ...Object.keys(event)]
    .filter((key, index, all) => key in event && !SHOWN_ABOVE.has(key) && all.indexOf(key) === index)
    .map((key) => [key, event[key]]);
  const said = Object.entries(payload).filter(([key]) => !LONG.has(key));
  return html`
    <aside class=${`detail level-${levelClass(event.level)}`} aria-label="Event">
      <header>
        <span class="level">${levelWord(event.level)}</span>
        <h2>${cut(event.name || event.type, 500)}</h2>
        <${Copy} what="as JSON" value=${() => JSON.stringify(event, null, 2)} />
        <${Copy} what="link" value=${() => location.href} />
        <button class="icon" aria-label="Close" onClick=${onClose}>×</button>
      </header>
      ${children}
      <div class="body">
        <p class="quiet">${fullDate(event.date)}</p>
        <${Fields} rows=${said.map(([key, value]) => [key, value, `payload.${key}`])} add=${add} />
        ${typeof payload.stack === "string" && html`<${Stack} stack=${payload.stack} />`}
        ${payload.trail !== undefined && html`
          <h3>Trail</h3><ol class="trail">${text(payload.trail).split("\n").map((line) => html`<li>${line}</li>`)}</ol>`}
        <h3>Envelope</h3>
        <${Fields} rows=${fields.map(([key, value]) => [key, value, NOT_FILTERED.has(key) ? null : key])} add=${add} />
        <${Session} event=${event} onSelect=${onSelect} />
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

// Frames of libraries fold together; a frame is its line and the lines of code below it.
export function foldStack(stack) {
  const groups = [];
  let fromLibrary = false;
  for (const line of stack.split("\n")) {
    const frame = /^\s*(?:File "|at )/.test(line);
    if (frame) fromLibrary = LIBRARY.test(line);
    else if (/^\S/.test(line)) fromLibrary = false; // "ValueError: …", "Traceback …"
    const last = groups[groups.length - 1];
    if (last && last.fromLibrary === fromLibrary) last.lines.push(line);
    else groups.push({ fromLibrary, lines: [line], frames: 0 });
    if (frame) groups[groups.length - 1].frames += 1;
  }
  return groups;
}

function Stack({ stack }) {
  return html`<h3>Stack</h3><div class="stack" tabindex="0">
    ${foldStack(cut(stack, 200_000)).map((group, index) => group.fromLibrary
      ? html`<details key=${index}><summary>${group.frames} library frame${group.frames === 1 ? "" : "s"}</summary>
          <pre>${group.lines.join("\n")}</pre></details>`
      : html`<pre key=${index}>${group.lines.join("\n")}</pre>`)}
  </div>`;
}

function Copy({ what, value }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(value());
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return html`<button onClick=${copy}>${copied ? "copied" : `copy ${what}`}</button>`;
}

// The session's neighbours of this event; the arrow keys walk along them.
function Session({ event, onSelect }) {
  const [strip, setStrip] = useState([]);
  const at = useRef(event.seq); // known at once, so that quick presses are not lost
  at.current = event.seq;
  useEffect(() => {
    const abort = new AbortController();
    setStrip((before) => (before.some((one) => one.seq === event.seq) ? before : []));
    if (event.session) {
      const filter = `${condition("session", event.session)} ${condition("app", event.app)}`;
      Promise.all([
        ask("events", { filter, until: event.date + 1, limit: 8 }, abort.signal),
        ask("events", { filter, since: event.date, until: event.date + 600_000, limit: 1000 }, abort.signal),
      ]).then(([before, after]) => {
        const near = new Map();
        for (const one of [...after.events.slice(-8), ...before.events]) near.set(one.seq, one);
        setStrip([...near.values()].sort((one, other) => one.date - other.date || one.seq - other.seq));
      }, () => {});
    }
    return () => abort.abort();
  }, [event.seq]);
  useEffect(() => {
    const walk = (pressed) => {
      if (pressed.target.closest("input, textarea, select") || pressed.altKey || pressed.ctrlKey) return;
      const step = { ArrowLeft: -1, ArrowRight: 1 }[pressed.key];
      const next = step && strip[strip.findIndex((one) => one.seq === at.current) + step];
      if (next) { pressed.preventDefault(); at.current = next.seq; onSelect(next); }
    };
    addEventListener("keydown", walk);
    return () => removeEventListener("keydown", walk);
  }, [strip]);
  if (strip.length < 2) return null;
  return html`<h3>Session</h3><ol class="strip">
    ${strip.map((one) => html`
      <li key=${one.seq} class=${`level-${levelClass(one.level)}`}>
        <button aria-current=${one.seq === event.seq} onClick=${() => onSelect(one)}>
          <span class="time">${clock(one.date)}</span> ${cut(one.name || one.type, 80)}</button></li>`)}
  </ol>`;
}
