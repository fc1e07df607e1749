// The figures of a range, asked for again soon after events came, and now and then.

import { ask } from "./api.js";

const SOON = 600; // ms; the server adds new events up within a few hundred
const NOW_AND_THEN = 5000;

export class Figures {
  // `asked` is {app, minutes, since, until}: the last so many minutes, or from `since` on.
  constructor(asked, changed) {
    Object.assign(this, { asked, changed, timer: 0, due: 0, abort: new AbortController() });
    this.ask();
  }

  // Something has come, or the page is looked at again.
  soon(ms = SOON) {
    const due = Date.now() + ms;
    if (this.abort.signal.aborted || (this.timer && this.due <= due)) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => this.ask(), ms);
  }

  async ask() {
    this.timer = 0;
    if (this.asking) { this.soon(); return; }
    if (!document.hidden) {
      this.asking = true;
      const { app, minutes, until } = this.asked;
      const range = { app, until, since: minutes ? Date.now() - minutes * 60_000 : this.asked.since };
      const { signal } = this.abort;
      try {
        const [{ apps }, stats, { errors }] = await Promise.all(
          [ask("apps", {}, signal), ask("stats", range, signal), ask("errors", range, signal)]);
        this.changed({ apps, stats, errors, reached: true });
      } catch (error) {
        if (error.name === "AbortError") return;
        this.changed({ reached: false });
      }
      this.asking = false;
    }
    this.soon(NOW_AND_THEN);
  }

  close() {
    clearTimeout(this.timer);
    this.abort.abort();
  }
}
