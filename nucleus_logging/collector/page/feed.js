// The events in view: a page of old ones, the stream of new ones, and what waits to be shown.

import { Stream, find } from "./api.js";

const PAGE = 300;
const NEXT_PAGES = 5000; // who scrolls wants more
const MOST = 150_000; // rows kept; older ones are found again by scrolling
const MOST_WAITING = 10_000; // kept behind the pill; of more only the number is known

export class Feed {
  // `query` is {filter, since, until}; `changed` is called at most once a frame, `onArrival` with
  // all new events.
  constructor(query, changed, onArrival) {
    Object.assign(this, { query, changed, onArrival, holding: false, arrived: 0, scheduled: false, failure: "" });
    this.restart();
  }

  restart() {
    this.close();
    Object.assign(this, { rows: [], waiting: [], behind: 0, cursor: null, loading: true, connected: true });
    Object.assign(this, { fresh: new Set(), seen: new Set(), abort: new AbortController(), stream: null });
    this.load();
  }

  async load() {
    try {
      for await (const page of find(this.query, "", PAGE, this.abort.signal)) {
        this.failure = "";
        this.append(page);
        if (!this.stream && !this.query.until) this.listen(page.seq);
      }
      this.loading = false;
    } catch (error) {
      if (error.name === "AbortError") return;
      this.failure = error.message;
      // The server may be on its way up.
      this.retry = setTimeout(() => this.restart(), 2000);
    }
    this.notify();
  }

  listen(seq) {
    this.stream = new Stream(this.query.filter, seq, (events) => this.add(events), (connected) => {
      this.connected = connected;
      this.notify();
    });
  }

  async more() {
    if (!this.cursor || this.loading) return;
    this.loading = true;
    try {
      for await (const page of find(this.query, this.cursor, NEXT_PAGES, this.abort.signal)) this.append(page);
    } catch (error) {
      if (error.name === "AbortError") return;
    }
    this.loading = false;
    this.notify();
  }

  append(page) {
    this.rows = this.rows.concat(this.unseen(page.events));
    this.cursor = page.cursor;
    this.notify();
  }

  add(events) {
    // Of so many that they will all be read again, none need be known.
    const fresh = this.behind > MOST_WAITING ? events : this.unseen(events);
    this.arrived += fresh.length;
    this.behind += fresh.length;
    if (this.behind <= MOST_WAITING) this.waiting.push(...fresh);
    else this.waiting = [];
    if (!this.holding) this.show();
    this.notify();
    this.onArrival(fresh);
  }

  unseen(events) {
    const fresh = events.filter((event) => !this.seen.has(identity(event)));
    for (const event of fresh) this.seen.add(identity(event));
    return fresh;
  }

  // While holding, new events wait, so that what is being read does not move.
  hold(holding) {
    if (holding === this.holding) return;
    this.holding = holding;
    if (!holding) this.show();
    this.notify();
  }

  show() {
    if (!this.behind) return;
    if (!this.waiting.length) { this.restart(); return; }
    this.fresh = new Set(this.waiting.slice(-50).map((event) => event.seq));
    this.rows = this.waiting.reverse().concat(this.rows);
    this.waiting = [];
    this.behind = 0;
    if (this.rows.length > MOST) {
      for (const event of this.rows.slice(MOST)) this.seen.delete(identity(event));
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
    if (this.abort) this.abort.abort();
    clearTimeout(this.retry);
    if (this.stream) this.stream.close();
  }
}

// By its number an event is known to one source only, and a stream and a database are two.
const identity = ({ seq, app, device, session, id, type, name, date }) =>
  id === undefined ? seq : JSON.stringify([app, device, session, id, type, name, date]);
