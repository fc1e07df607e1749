// The live view: the list of events, and the one that is open beside it.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact/standalone.module.js";
import { ask } from "./api.js";
import { Connect } from "./connect.js";
import { Detail } from "./detail.js";
import { words, without } from "./filter.js";
import { count, counted } from "./format.js";
import { List } from "./list.js";

export function Live({ url, go, feed, figures, paused, actions }) {
  const [opened, setOpened] = useState(null);
  const [gone, setGone] = useState(false);
  const [scrolled, setScrolled] = useState(false);

  // A link names its event by number; it need not be among those in view.
  useEffect(() => {
    setGone(false);
    if (!url.event) setOpened(null);
    else if (!opened || opened.seq !== Number(url.event)) {
      ask("events", { seq: url.event }).then(({ events }) => {
        setOpened(events[0] || null);
        setGone(!events.length);
      }, () => {});
    }
  }, [url.event]);

  const reading = paused || scrolled || Boolean(url.event);
  useEffect(() => { if (feed) feed.hold(reading); });
  useEffect(() => () => feed && feed.hold(false), [feed]);

  const at = useRef(0); // known at once, so that quick presses are not lost
  at.current = Number(url.event);
  const select = (event) => {
    at.current = event ? event.seq : 0;
    setOpened(event);
    go({ event: event ? String(event.seq) : "" });
  };
  if (!feed) return html`<main class="view"></main>`;
  const { rows } = feed;
  const step = (distance) => {
    const index = rows.findIndex((event) => event.seq === at.current);
    const next = rows[Math.max(0, Math.min(rows.length - 1, index + distance))];
    if (next) select(next);
  };
  Object.assign(actions, {
    next: () => step(1),
    previous: () => step(-1),
    open: () => !url.event && rows[0] && select(rows[0]),
    back: () => select(null),
  });

  const several = new Set(rows.slice(0, 500).map((event) => `${event.app} ${event.session}`)).size > 1;
  const nothing = !rows.length && (!feed.loading || feed.failure);
  const show = () => {
    feed.show();
    document.querySelector(".list").scrollTop = 0;
    feed.notify();
  };
  return html`
    <main class=${`view split${opened ? " opened" : ""}`}>
      <section class="pane" aria-label="Events">
        ${feed.behind > 0 && html`<button class="pill" onClick=${show}>${count(feed.behind)} new ↑</button>`}
        ${nothing && html`<${Nothing} feed=${feed} url=${url} go=${go} apps=${figures.apps} />`}
        ${!nothing && html`
          <${List} rows=${rows} selected=${Number(url.event)} fresh=${feed.fresh} several=${several}
            total=${feed.cursor ? -1 : rows.length + 1} onSelect=${select}
            onScroll=${setScrolled} onEnd=${() => feed.more()} />`}
        ${feed.loading && html`<div class="searching">searching…</div>`}
        <${Announcer} arrived=${feed.arrived} />
      </section>
      ${opened && html`
        <${Detail} event=${opened} filter=${url.filter} go=${go} actions=${actions}
          onClose=${() => select(null)} onSelect=${select} />`}
      ${gone && html`<aside class="detail" aria-label="Event"><header><h2>This event is not here any more</h2>
        <button class="icon" aria-label="Close" onClick=${() => select(null)}>×</button></header></aside>`}
    </main>`;
}

// For who listens instead of looking: how many events came, at most every 5 seconds.
function Announcer({ arrived }) {
  const [said, setSaid] = useState({ text: "", arrived });
  const latest = useRef(arrived);
  latest.current = arrived;
  useEffect(() => {
    const timer = setInterval(() => setSaid((before) => {
      const more = latest.current - before.arrived;
      return more === 0 ? before : { text: more > 0 ? counted(more, "new event") : "", arrived: latest.current };
    }), 5000);
    return () => clearInterval(timer);
  }, []);
  return html`<div class="unseen" aria-live="polite">${said.text}</div>`;
}

function Nothing({ feed, url, go, apps }) {
  if (feed.failure) return html`<div class="empty"><h2>The server does not answer</h2><p class="quiet">${feed.failure}</p></div>`;
  if (words(feed.query.filter).length) return html`<${Dropping} feed=${feed} filter=${url.filter} app=${url.app} go=${go} />`;
  if (!apps) return null; // not known yet
  if (!apps.length) return html`<${Connect} />`;
  return html`<div class="empty"><h2>No event in this range</h2>
    <p class="quiet">New ones show up here as they come.</p><${Everything} go=${go} /></div>`;
}

export function Everything({ go }) {
  return html`<p><button class="link" onClick=${() => go({ range: "all", since: "", until: "" })}>
    look through all time</button></p>`;
}

// Nothing found: which word of the filter to drop, and what that would show.
function Dropping({ feed, filter, app, go }) {
  const [counts, setCounts] = useState({});
  const { query } = feed;
  const whole = words(query.filter);
  useEffect(() => {
    const abort = new AbortController();
    setCounts({});
    for (const word of whole) {
      ask("events", { ...query, filter: without(query.filter, word), limit: 1000 }, abort.signal)
        .then((found) => {
          const shown = found.cursor ? `${count(found.events.length)} or more events` : counted(found.events.length, "event");
          setCounts((before) => ({ ...before, [word]: shown }));
        }, () => {});
    }
    return () => abort.abort();
  }, [query]);
  // The app chosen in the bar is the first word, and is dropped there.
  const drop = (word, index) => (app && index === 0 ? go({ app: "" }) : go({ filter: without(filter, word) }));
  return html`
    <div class="empty">
      <h2>No event fits this filter</h2>
      <ul class="plain">${whole.map((word, index) => html`
        <li key=${word}><button class="link" onClick=${() => drop(word, index)}>
          without <code>${word}</code></button> ${counts[word] || "…"}</li>`)}
      </ul>
      ${Boolean(query.since) && html`<${Everything} go=${go} />`}
    </div>`;
}
