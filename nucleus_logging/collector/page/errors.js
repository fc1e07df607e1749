// Errors: a row a group, with its latest event beside it.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact/standalone.module.js";
import { ask } from "./api.js";
import { Connect } from "./connect.js";
import { Detail } from "./detail.js";
import { ERROR_FIELDS, condition, fits } from "./filter.js";
import { ago, count, cut, fullDate } from "./format.js";
import { Everything } from "./live.js";

const DAY = 86_400_000;
const SHOWN = 200; // events of a group that one can walk through

const nameOf = (group) => `${group.app} ${group.fingerprint}`;
const valuesOf = (group) => (field) => {
  if (!ERROR_FIELDS.includes(field)) return undefined;
  return { version: group.versions, "": [`${group.name} ${group.message}`] }[field] || [group[field]];
};

export function Errors({ url, go, figures, actions }) {
  const [events, setEvents] = useState({ list: [], at: 0 });
  const order = useRef([]);
  const groups = (figures.errors || []).filter((group) => fits(url.filter, valuesOf(group)));
  const selected = groups.find((group) => nameOf(group) === url.group);
  // The latest stand first; while one is open, the others keep their places.
  if (selected) {
    const place = (group) => (order.current.indexOf(nameOf(group)) + 1) || Infinity;
    groups.sort((one, other) => (place(one) < place(other) ? -1 : place(one) > place(other) ? 1 : 0));
  }
  order.current = groups.map(nameOf);

  useEffect(() => {
    const abort = new AbortController();
    setEvents({ list: [], at: 0 });
    if (selected) {
      const filter = `${condition("fingerprint", selected.fingerprint)} ${condition("app", selected.app)}`;
      ask("events", { filter, until: url.until, limit: SHOWN }, abort.signal)
        .then((found) => setEvents({ list: found.events, at: 0 }), () => {});
    }
    return () => abort.abort();
  }, [selected && url.group]);

  const open = (group) => go({ group: group ? nameOf(group) : "" });
  const step = (distance) => {
    const next = groups[Math.max(0, Math.min(groups.length - 1, groups.indexOf(selected) + distance))];
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
      <section class="pane scroll" aria-label="Groups of errors">
        ${figures.errors && !groups.length && (figures.apps.length
          ? html`<div class="empty"><h2>${figures.errors.length ? "No error fits this filter" : "No errors in this range"}</h2><${Everything} go=${go} /></div>`
          : html`<${Connect} />`)}
        ${groups.length > 0 && html`
          <table class="groups"><thead><tr>
            <th>Error</th><th>Over time</th><th class="figure">Count</th><th class="figure">Users</th>
            <th>Last</th><th>First</th><th>Versions</th></tr></thead>
          <tbody>${groups.map((group) => html`
            <tr key=${nameOf(group)} aria-current=${group === selected ? "true" : undefined}
                class=${group === selected ? "selected" : ""} onClick=${() => open(group)}>
              <td class="what"><button>${cut(group.name || "error", 120)}</button>
                ${Date.now() - group.first < DAY && html` <span class="badge" title="first seen less than a day ago">new</span>`}
                ${several && html` <span class="quiet">${group.app}</span>`}
                <div class="quiet">${cut(group.message, 200)}</div></td>
              <td><${Sparkline} group=${group} until=${Number(url.until) || Date.now()} /></td>
              <td class="figure">${count(group.count)}</td>
              <td class="figure">${count(group.users)}</td>
              <td title=${fullDate(group.last)}>${ago(group.last)}</td>
              <td title=${fullDate(group.first)}>${ago(group.first)}</td>
              <td class="quiet" title=${group.versions.join(", ")}>${cut(group.versions.join(", "), 40)}</td>
            </tr>`)}</tbody></table>`}
      </section>
      ${selected && list[at] && html`
        <${Detail} event=${list[at]} filter=${url.filter} go=${(to) => go({ view: "live", group: "", ...to })} actions=${actions}
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
  const { step, over_time: points } = group;
  const since = Math.floor(group.since / step) * step;
  const buckets = Math.max(2, Math.ceil((until - since) / step));
  const most = Math.max(...points.map(([, number]) => number));
  const width = Math.min(12, Math.max(1, 120 / buckets));
  return html`<svg class="spark" viewBox="0 0 120 20" role="img"
      aria-label=${`${group.count} in this range, at most ${most} at once`}>
    <line x1="0" x2="120" y1="19.5" y2="19.5" />
    ${points.map(([date, number]) => {
      const height = Math.max(2, (number / most) * 20);
      return html`<rect key=${date} x=${((date - since) / step) * width} y=${20 - height}
        width=${Math.max(1, width - 0.5)} height=${height} />`;
    })}
  </svg>`;
}
