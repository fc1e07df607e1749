// The server: questions, and the stream that comes back by itself.

export class Refused extends Error {}

// A change of the network, for which the start of a container is enough, costs what is under way:
// asked once more.
export async function ask(path, query = {}, signal = undefined) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const address = `/api/${path}?${new URLSearchParams(given)}`;
  try {
    return await answerOf(address, signal);
  } catch (error) {
    if (error instanceof Refused || error.name === "AbortError") throw error;
    await new Promise((done) => setTimeout(done, 500));
    return answerOf(address, signal);
  }
}

async function answerOf(address, signal) {
  const answer = await fetch(address, { signal });
  if (!answer.ok) throw new Refused((await answer.text()).trim() || `status ${answer.status}`);
  return answer.json();
}

// Events below a cursor, page by page, until `limit` are found or nothing is left; a page may be
// short because its time was up, and then its cursor goes on.
export async function* find(query, cursor, limit, signal) {
  do {
    const page = await ask("events", { ...query, cursor, limit }, signal);
    cursor = page.cursor;
    limit -= page.events.length;
    yield page;
  } while (cursor && limit > 0);
}

// New events after a number. The browser resumes a cut stream with the last number it saw; when it
// has given up, because the server answered with an error, so do we after a moment.
// It grants a server six connections, shared by all tabs: a hidden one only looks now and then.
const LOOK_EVERY = 3000;
const LOOK_FOR = 500;

export class Stream {
  constructor(filter, after, onEvents, onState) {
    Object.assign(this, { filter, after, onEvents, onState, closed: false });
    this.turned = () => (document.hidden ? this.rest() : this.open());
    document.addEventListener("visibilitychange", this.turned);
    this.open();
  }

  open() {
    this.leave();
    const query = new URLSearchParams({ filter: this.filter, after: this.after });
    this.source = new EventSource(`/api/live?${query}`);
    this.source.onopen = () => {
      this.onState(true);
      if (document.hidden) this.retry = setTimeout(() => this.rest(), LOOK_FOR);
    };
    this.source.onmessage = (message) => {
      this.after = message.lastEventId;
      const events = JSON.parse(message.data);
      if (events.length) this.onEvents(events);
    };
    this.source.onerror = () => {
      if (this.closed) return;
      this.onState(false);
      if (this.source.readyState === EventSource.CLOSED) this.retry = setTimeout(() => this.open(), 1000);
    };
  }

  rest() {
    this.leave();
    this.retry = setTimeout(() => this.open(), LOOK_EVERY);
  }

  leave() {
    clearTimeout(this.retry);
    if (this.source) this.source.close();
  }

  close() {
    this.closed = true;
    document.removeEventListener("visibilitychange", this.turned);
    this.leave();
  }
}
