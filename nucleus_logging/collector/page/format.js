// How things are written: times, numbers, levels, events in short.

const WORDS = { critical: "CRIT", error: "ERROR", warning: "WARN", info: "INFO", debug: "DEBUG" };
const SHOWN_ELSEWHERE = new Set(
  ["level", "logger", "message", "stack", "file", "line", "function", "fingerprint", "trail"],
);

export const levelWord = (level) => WORDS[level] || (level || "").slice(0, 5).toUpperCase();
export const levelClass = (level) => (level in WORDS ? level : "none");

const pad = (number, digits = 2) => String(number).padStart(digits, "0");

export function clock(ms) {
  const date = new Date(ms);
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}` +
    `.${pad(date.getMilliseconds(), 3)}`;
}

export function fullDate(ms) {
  const date = new Date(ms);
  const zone = -date.getTimezoneOffset();
  const offset = `${zone < 0 ? "-" : "+"}${pad(Math.floor(Math.abs(zone) / 60))}:${pad(Math.abs(zone) % 60)}`;
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${clock(ms)} ${offset}`;
}

// A stretch of time in short: the date only where it is not one day's, today.
export function span(from, to) {
  const day = (ms) => fullDate(ms).slice(5, 10);
  const [first, last, today] = [from, to || Date.now(), Date.now()].map(day);
  const time = (ms) => clock(ms).slice(0, 5);
  const begin = first === today && last === today ? time(from) : `${first} ${time(from)}`;
  const end = first === last ? time(to || Date.now()) : `${last} ${time(to || Date.now())}`;
  return `${begin} – ${to ? end : "now"}`;
}

export function ago(ms, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - ms) / 1000));
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return `${seconds} s ago`;
}

// Narrow spaces between thousands, as tabular figures want them.
export const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");

export const counted = (number, unit) => `${count(number)} ${unit}${number === 1 ? "" : "s"}`;

export const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));

// What a row says beside the name; worked out once, since values may be large.
const inShort = new WeakMap();

export function shortly(event) {
  if (!inShort.has(event)) inShort.set(event, { message: messageOf(event), extras: extrasOf(event) });
  return inShort.get(event);
}

function messageOf(event) {
  const message = event.payload && event.payload.message;
  return message === undefined || message === event.name ? "" : cut(text(message), 300);
}

function extrasOf(event) {
  const found = [];
  for (const key in event.payload || {}) {
    if (SHOWN_ELSEWHERE.has(key) || key.startsWith("exception.")) continue;
    found.push(`${key}=${cut(text(event.payload[key]), 40)}`);
    if (found.length === 3) break;
  }
  return found.join("  ");
}

export const cut = (string, length) =>
  string.length > length ? string.slice(0, length) + "…" : string;
