// The filter: one line of text, shown as chips, completed from what has been seen.

import { html, useRef, useState } from "./vendor/htm-preact/standalone.module.js";
import { count, cut, text } from "./format.js";

// The server's grammar (query.py): an optional minus, an optional field, a word or a quoted text.
const WORD = /-?(?:[A-Za-z][\w.$-]*:)?(?:"(?:[^"\\]|\\.)*"?|\S+)/g;
const KEYS = ["level", "name", "app", "type", "logger", "user", "session", "version", "message",
  "platform", "language", "device", "fingerprint"];
const FIELDS = ["anon", "id", "osVersion", "arch", "client", "moduleVersion"];
export const ERROR_FIELDS = ["app", "name", "message", "version", "fingerprint", ""];
const LEVELS = ["critical", "error", "warning", "info", "debug"];

export const words = (filter) => filter.match(WORD) || [];
export const without = (filter, word) => words(filter).filter((other) => other !== word).join(" ");

export function quoted(value) {
  return /^[\w.@/+-]+$/.test(value) ? value : `"${value.replace(/[\\"]/g, "\\$&")}"`;
}

export function condition(field, value, negated = false) {
  return `${negated ? "-" : ""}${field}:${quoted(cut(text(value), 500).replace(/…$/, ""))}`;
}

export function withWord(filter, word) {
  return words(filter).includes(word) ? filter : `${filter} ${word}`.trim();
}

// Takes the words out when they are all there, else adds those that are not.
export function toggled(filter, wanted) {
  const there = wanted.every((word) => words(filter).includes(word));
  return wanted.reduce(there ? without : withWord, filter);
}

// One word as the server understands it; an unknown field makes it free text.
export function parsed(word) {
  let [, minus, field, value] = word.match(/^(-?)(?:([A-Za-z][\w.$-]*):(?=.))?([^]*)$/);
  if (field && !KEYS.includes(field) && !FIELDS.includes(field) && !field.startsWith("payload.")) {
    value = `${field}:${value}`;
    field = "";
  }
  const literal = value.startsWith('"');
  if (literal) value = value.slice(1).replace(/"$/, "").replace(/\\(.)/g, "$1");
  return { field: field || "", value, negated: minus === "-", literal };
}

// The value that a filter demands of a field, when it is exactly one.
export function onlyValue(filter, wanted) {
  const found = words(filter).map(parsed).filter(({ field }) => field === wanted);
  const one = found.length === 1 && !found[0].negated && (found[0].literal || !found[0].value.includes("*"));
  return one ? found[0].value : "";
}

// Whether a thing fits a filter; `values` gives a field's values, undefined for one it has not.
export function fits(filter, values) {
  const either = new Map();
  for (const { field, value, negated, literal } of words(filter).map(parsed)) {
    const found = values(field);
    if (found === undefined) continue;
    const parts = field && !literal ? value.split("*") : [value];
    const shape = parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("[^]*");
    const like = field ? new RegExp(`^${shape}$`) : new RegExp(shape, "i");
    const fit = found.some((one) => like.test(one)) !== negated;
    const key = field && !negated ? field : either.size;
    either.set(key, either.get(key) || fit);
  }
  return [...either.values()].every(Boolean);
}

// What of a filter a view cannot do: errors and figures are kept added up, not looked for.
function idle(word, view, filter) {
  const { field } = parsed(word);
  if (view === "errors") return !ERROR_FIELDS.includes(field);
  return view === "overview" && !(field === "app" && onlyValue(filter, "app"));
}

export function FilterBar({ filter, view, rows, onFilter, input }) {
  const [typed, setText] = useState("");
  const [choice, setChoice] = useState(-1);
  const [open, setOpen] = useState(false);
  const box = useRef(null);
  const setTyped = (value) => { setText(value); setChoice(-1); };

  const offers = open ? completions(typed, rows) : [];
  const shown = offers.length > 0;
  const apply = (value) => {
    onFilter(`${filter} ${value}`.trim());
    setTyped("");
    setOpen(false);
  };
  const take = (offer) => {
    const start = typed.length - (typed.match(/\S*$/) || [""])[0].length;
    if (offer.endsWith(":")) { setTyped(typed.slice(0, start) + offer); setOpen(true); }
    else apply(typed.slice(0, start) + offer);
    input.current.focus();
  };
  const keyed = (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setOpen(true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      setChoice(Math.max(-1, Math.min(offers.length - 1, choice + step)));
    } else if (event.key === "Tab" && offers.length && typed) {
      event.preventDefault();
      take(offers[Math.max(0, choice)].word);
    } else if (event.key === "Enter") {
      if (choice >= 0) take(offers[choice].word);
      else if (typed.trim()) apply(typed.trim());
    } else if (event.key === "Escape") {
      event.stopPropagation();
      if (open && offers.length) setOpen(false);
      else input.current.blur();
    } else if (event.key === "Backspace" && !typed && filter) {
      const last = words(filter).pop();
      onFilter(without(filter, last));
      setTyped(last);
    }
  };
  return html`
    <div class="filter" ref=${box} role="search"
        onFocusOut=${(event) => box.current.contains(event.relatedTarget) || setOpen(false)}>
      ${words(filter).map((word) => html`
        <span key=${word} class=${`chip${idle(word, view, filter) ? " idle" : ""}`}
            title=${idle(word, view, filter) ? "does nothing in this view" : word}>${cut(word, 60)}
          <button aria-label=${`Remove ${word}`} onClick=${() => onFilter(without(filter, word))}>×</button>
        </span>`)}
      <input ref=${input} value=${typed} spellcheck="false" autocomplete="off" aria-label="Filter"
        placeholder=${filter ? "" : "filter: text, level:error, name:Login* …"}
        role="combobox" aria-expanded=${shown} aria-controls=${shown ? "offers" : undefined} aria-autocomplete="list"
        aria-activedescendant=${choice >= 0 ? `offer-${choice}` : undefined}
        onInput=${(event) => { setTyped(event.target.value); setOpen(true); }}
        onKeyDown=${keyed} />
      ${shown && html`
        <ul class="offers" id="offers" role="listbox" aria-label="Completions">
          ${offers.map((offer, index) => html`
            <li id=${`offer-${index}`} role="option" aria-selected=${index === choice} tabindex="-1"
                onMouseDown=${(event) => { event.preventDefault(); take(offer.word); }}>
              <span>${cut(offer.word, 80)}</span><small>${offer.count ? count(offer.count) : ""}</small>
            </li>`)}
        </ul>`}
    </div>`;
}

function completions(typed, rows) {
  const word = (typed.match(/\S*$/) || [""])[0];
  const bare = word.replace(/^-/, "");
  const minus = word.startsWith("-") ? "-" : "";
  if (!bare) return [];
  const recent = rows.slice(0, 2000);
  const [, field, begun] = bare.match(/^([A-Za-z][\w.$-]*):(.*)$/) || [];
  const found = new Map();
  if (field) {
    for (const event of recent) {
      const value = valueOf(event, field);
      if (value !== undefined && value !== null) found.set(text(value), (found.get(text(value)) || 0) + 1);
    }
    if (field === "level") for (const level of LEVELS) if (!found.has(level)) found.set(level, 0);
    return [...found]
      .filter(([value]) => value.toLowerCase().startsWith(begun.replace(/^"/, "").toLowerCase()))
      .sort((one, other) => other[1] - one[1]).slice(0, 8)
      .map(([value, times]) => ({ word: `${minus}${condition(field, value)}`, count: times }));
  }
  for (const key of KEYS) found.set(key, 0);
  for (const event of recent) {
    for (const key in event.payload || {}) if (!KEYS.includes(key)) found.set(`payload.${key}`, 0);
  }
  return [...found.keys()].filter((key) => key.includes(bare)).slice(0, 8)
    .map((key) => ({ word: `${minus}${key}:` }));
}

function valueOf(event, field) {
  if (field.startsWith("payload.")) return (event.payload || {})[field.slice(8)];
  if (field === "logger" || field === "message") return (event.payload || {})[field];
  return event[field];
}
