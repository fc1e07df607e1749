// The events in view: a page of old ones, the stream of new ones, and what waits to be shown.

import { Stream, find } from "./api.js";

const PAGE = 300;
const NEXT_PAGE = 1000; // who scrolls wants more
const MOST = 200_000; // rows kept; older ones are found again by scrolling

export class Feed {
  // `query` is {filter, since, until}; `changed` is called at most once a frame.
  constructor(query, changed) {
    Object.assign(this, { query, rows: [], waiting: [], cursor: null, holding: false });
    Object.assign(this, { loading: true, connected: true, failure: "", arrived: 0, fresh: new Set() });
    this.seen = new Set();
    this.abort = new AbortController();
    this.changed = changed;
    this.scheduled = false;
    this.load();
  }

  async load() {
    try {
      const found = await find(this.query, "", PAGE, this.abort.signal);
      this.rows = found.events;
      this.cursor = found.cursor;
      for (const event of this.rows) this.seen.add(event.seq);
      this.loading = false;
      this.notify();
      if (!this.query.until) {
        this.stream = new Stream(this.query.filter, found.seq, (events) => this.add(events),
          (connected) => { this.connected = connected; this.notify(); });
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      this.failure = error.message;
      this.loading = false;
      this.notify();
      // The server may be on its way up.
      this.retry = setTimeout(() => { this.failure = ""; this.load(); }, 2000);
    }
  }

  async more() {
    if (!this.cursor || this.loading) return;
    this.loading = true;
    try {
      const found = await find(this.query, this.cursor, NEXT_PAGE, this.abort.signal);
      const older = found.events.filter((event) => !this.seen.has(event.seq));
      for (const event of older) this.seen.add(event.seq);
      this.rows = this.rows.concat(older);
      this.cursor = found.cursor;
    } catch (error) {
      if (error.name === "AbortError") return;
    }
    this.loading = false;
    this.notify();
  }

  add(events) {
    const fresh = events.filter((event) => !this.seen.has(event.seq));
    for (const event of fresh) this.seen.add(event.seq);
    this.arrived += fresh.length;
    this.waiting.push(...fresh);
    if (!this.holding) this.show();
    this.notify();
    if (this.onArrival) this.onArrival(fresh);
  }

  // While holding, new events wait, so that what is being read does not move.
  hold(holding) {
    if (holding === this.holding) return;
    this.holding = holding;
    if (!holding) this.show();
    this.notify();
  }

  show() {
    if (!this.waiting.length) return;
    this.fresh = new Set(this.waiting.slice(-50).map((event) => event.seq));
    this.rows = this.waiting.reverse().concat(this.rows);
    this.waiting = [];
    if (this.rows.length > MOST) {
      for (const event of this.rows.slice(MOST)) this.seen.delete(event.seq);
      this.rows = this.rows.slice(0, MOST);
      // A cursor begins with the date, in hexadecimal: this one is above all events of that date.
      const date = this.rows[MOST - 1].date;
      this.cursor = date.toString(16).padStart(16, "0") + "ff".repeat(17);
    }
  }

  notify() {
    if (this.scheduled) return;
    this.scheduled = true;
    // A hidden page gets no frames, and its title still counts errors.
    const later = document.hidden ? (run) => setTimeout(run, 200) : requestAnimationFrame;
    later(() => { this.scheduled = false; this.changed(); });
  }

  close() {
    this.changed = () => {};
    this.abort.abort();
    clearTimeout(this.retry);
    if (this.stream) this.stream.close();
  }
}
