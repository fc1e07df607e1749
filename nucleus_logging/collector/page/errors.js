// Errors: a row a group, with its latest event beside it.

import { html, useEffect, useState } from "./vendor/htm-preact/standalone.module.js";
import { ask } from "./api.js";
import { Detail } from "./detail.js";
import { condition, words } from "./filter.js";
import { ago, count, cut, fullDate } from "./format.js";

const DAY = 86_400_000;

export function Errors({ url, go, query, app, tick, actions, onCount }) {
  const [answer, setAnswer] = useState(null);
  const [events, setEvents] = useState({ list: [], at: 0 });

  useEffect(() => {
    const abort = new AbortController();
    ask("errors", { app, since: query.since, until: query.until }, abort.signal)
      .then((found) => { setAnswer(found.errors); onCount(found.errors.length); }, () => {});
    return () => abort.abort();
  }, [app, query.since, query.until, tick]);

  const free = words(url.filter).filter((word) => !word.includes(":")).map((word) => word.replace(/"/g, "").toLowerCase());
  const groups = (answer || []).filter((group) =>
    free.every((word) => `${group.name} ${group.message}`.toLowerCase().includes(word)));
  const selected = groups.find((group) => group.fingerprint === url.group);

  useEffect(() => {
    const abort = new AbortController();
    setEvents({ list: [], at: 0 });
    if (selected) {
      const filter = `${condition("fingerprint", selected.fingerprint)} ${condition("app", selected.app)}`;
      ask("events", { filter, until: query.until, limit: 200 }, abort.signal)
        .then((found) => setEvents({ list: found.events, at: 0 }), () => {});
    }
    return () => abort.abort();
  }, [selected && selected.fingerprint, selected && selected.app]);

  const open = (group) => go({ group: group ? group.fingerprint : "" });
  const step = (distance) => {
    const index = groups.indexOf(selected);
    const next = groups[Math.max(0, Math.min(groups.length - 1, index + distance))];
    if (next) open(next);
  };
  Object.assign(actions, {
    next: () => step(1), previous: () => step(-1), back: () => open(null),
    open: () => !selected && groups[0] && open(groups[0]),
  });

  const several = new Set(groups.map((group) => group.app)).size > 1;
  const { list, at } = events;
  const walk = (distance) => setEvents({ list, at: Math.max(0, Math.min(list.length - 1, at + distance)) });
  return html`
    <main class=${`view split${selected ? " opened" : ""}`}>
      <section class="pane scroll">
        ${answer && !groups.length && html`<div class="empty"><h2>No errors in this range</h2></div>`}
        ${groups.length > 0 && html`
          <table class="groups"><thead><tr>
            <th>Error</th><th>Over time</th><th class="figure">Count</th><th class="figure">Users</th>
            <th>Last</th><th>First</th><th>Versions</th></tr></thead>
          <tbody>${groups.map((group) => html`
            <tr key=${group.app + group.fingerprint} aria-selected=${group === selected}
                class=${group === selected ? "selected" : ""} onClick=${() => open(group)}>
              <td class="what"><button onClick=${() => open(group)}>${cut(group.name || "error", 120)}</button>
                ${Date.now() - group.first < DAY && html` <span class="badge">new</span>`}
                ${several && html` <span class="quiet">${group.app}</span>`}
                <div class="quiet">${cut(group.message, 200)}</div></td>
              <td><${Sparkline} group=${group} until=${query.until || Date.now()} /></td>
              <td class="figure">${count(group.count)}</td>
              <td class="figure">${count(group.users)}</td>
              <td title=${fullDate(group.last)}>${ago(group.last)}</td>
              <td title=${fullDate(group.first)}>${ago(group.first)}</td>
              <td class="quiet">${cut(group.versions.join(", "), 40)}</td>
            </tr>`)}</tbody></table>`}
      </section>
      ${selected && list[at] && html`
        <${Detail} event=${list[at]} filter=${url.filter} go=${(to) => go({ view: "live", ...to })}
            onClose=${() => open(null)}
            onSelect=${(event) => go({ view: "live", event: String(event.seq), group: "" })}>
          <nav class="walk" aria-label="Events of this group">
            <button disabled=${at === 0} onClick=${() => walk(-1)}>newer</button>
            <span class="quiet">${at + 1} of ${list.length}${list.length < selected.total ? ` shown, ${count(selected.total)} in all` : ""}</span>
            <button disabled=${at === list.length - 1} onClick=${() => walk(1)}>older</button>
          </nav><//>`}
    </main>`;
}

function Sparkline({ group, until }) {
  const { since, step, over_time: points } = group;
  const buckets = Math.max(2, Math.ceil((until - since) / step));
  const most = Math.max(...points.map(([, number]) => number));
  const width = Math.max(1, 120 / buckets);
  return html`<svg class="spark" viewBox="0 0 120 20" role="img"
      aria-label=${`${group.count} in this range, at most ${most} at once`}>
    ${points.map(([date, number]) => {
      const height = Math.max(2, (number / most) * 20);
      return html`<rect key=${date} x=${((date - since) / step) * width} y=${20 - height}
        width=${Math.max(1, width - 0.5)} height=${height} />`;
    })}
  </svg>`;
}
