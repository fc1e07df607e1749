// The live view: the list of events, and the one that is open beside it.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact/standalone.module.js";
import { ask } from "./api.js";
import { Connect } from "./connect.js";
import { Detail } from "./detail.js";
import { Feed } from "./feed.js";
import { words, without } from "./filter.js";
import { count } from "./format.js";
import { List, ROW } from "./list.js";

export function Live({ url, go, query, paused, onFeed, onArrival, actions }) {
  const [, redraw] = useState(0);
  const [opened, setOpened] = useState(null);
  const [scrolled, setScrolled] = useState(0);
  const feed = useRef(null);

  useEffect(() => {
    const mine = new Feed(query, () => { redraw((number) => number + 1); onFeed(mine); });
    mine.onArrival = onArrival;
    feed.current = mine;
    return () => mine.close();
  }, [query.filter, query.since, query.until]);

  // A link names its event by number; it need not be among those in view.
  useEffect(() => {
    if (!url.event) setOpened(null);
    else if (!opened || opened.seq !== Number(url.event)) {
      ask("events", { seq: url.event }).then((found) => setOpened(found.events[0] || null), () => {});
    }
  }, [url.event]);

  const current = feed.current;
  const reading = paused || scrolled > ROW || Boolean(url.event);
  useEffect(() => { if (current) current.hold(reading); });

  const at = useRef(0); // known at once, so that quick presses are not lost
  at.current = Number(url.event);
  const select = (event) => {
    at.current = event ? event.seq : 0;
    setOpened(event);
    go({ event: event ? String(event.seq) : "" });
  };
  const step = (distance) => {
    const index = current.rows.findIndex((event) => event.seq === at.current);
    const next = current.rows[Math.max(0, Math.min(current.rows.length - 1, index + distance))];
    if (next) select(next);
  };
  Object.assign(actions, {
    next: () => current && step(1),
    previous: () => current && step(-1),
    open: () => current && !url.event && current.rows[0] && select(current.rows[0]),
    back: () => select(null),
  });

  if (!current) return html`<main class="view"></main>`;
  const { rows, waiting } = current;
  const several = new Set(rows.slice(0, 500).map((event) => `${event.app} ${event.session}`)).size > 1;
  const nothing = !rows.length && !current.loading;
  return html`
    <main class=${`view split${opened ? " opened" : ""}`}>
      <section class="pane">
        ${waiting.length > 0 && html`
          <button class="pill" onClick=${() => {
            current.show();
            document.querySelector(".list").scrollTop = 0;
            redraw((number) => number + 1);
          }}>${count(waiting.length)} new ↑</button>`}
        ${nothing && (words(query.filter).length > 0
          ? html`<${Dropping} query=${query} go=${go} filter=${url.filter} />`
          : html`<${Connect} failure=${current.failure} elsewhere=${Boolean(query.since)} go=${go} />`)}
        ${!nothing && html`
          <${List} rows=${rows} selected=${Number(url.event)} fresh=${current.fresh} several=${several}
            total=${current.cursor ? -1 : rows.length} onSelect=${select}
            onScroll=${setScrolled} onEnd=${() => current.more()} />`}
        ${current.loading && html`<div class="searching" role="status">searching…</div>`}
        <${Announcer} arrived=${current.arrived} />
      </section>
      ${opened && html`
        <${Detail} event=${opened} filter=${url.filter} go=${go} onClose=${() => select(null)} onSelect=${select} />`}
    </main>`;
}

// For who listens instead of looking: how many events came, at most every 5 seconds.
function Announcer({ arrived }) {
  const [said, setSaid] = useState({ text: "", arrived: 0 });
  const latest = useRef(arrived);
  latest.current = arrived;
  useEffect(() => {
    const timer = setInterval(() => setSaid((before) => {
      const more = latest.current - before.arrived;
      return more > 0 ? { text: `${more} new events`, arrived: latest.current } : before;
    }), 5000);
    return () => clearInterval(timer);
  }, []);
  return html`<div class="unseen" aria-live="polite">${said.text}</div>`;
}

// Nothing found: which word of the filter to drop, and what that would show.
function Dropping({ query, filter, go }) {
  const [counts, setCounts] = useState({});
  useEffect(() => {
    const abort = new AbortController();
    setCounts({});
    for (const word of words(filter)) {
      ask("events", { ...query, filter: without(query.filter, word), limit: 1000 }, abort.signal)
        .then((found) => {
          const shown = count(found.events.length) + (found.cursor ? " or more" : "");
          setCounts((before) => ({ ...before, [word]: shown }));
        }, () => {});
    }
    return () => abort.abort();
  }, [query.filter, query.since, query.until]);
  return html`
    <div class="empty">
      <h2>No event fits this filter</h2>
      <ul class="plain">${words(filter).map((word) => html`
        <li key=${word}><button class="link" onClick=${() => go({ filter: without(filter, word) })}>
          without <code>${word}</code></button> ${counts[word] === undefined ? "…" : `${counts[word]} events`}</li>`)}
      </ul>
      ${query.since && html`<p><button class="link" onClick=${() => go({ range: "all", since: "", until: "" })}>
        look through all time</button></p>`}
    </div>`;
}
