// Overview: events over time by level, and what they were of.

import { html, useMemo } from "./vendor/htm-preact/standalone.module.js";
import { Connect } from "./connect.js";
import { condition, withWord } from "./filter.js";
import { count, cut } from "./format.js";
import { Everything } from "./live.js";
import { Bars, Lines } from "./plot.js";

const ORDER = ["critical", "error", "warning", "info", "debug", "none"]; // from the bottom up

export function Overview({ url, go, figures, theme, actions }) {
  const { stats, apps } = figures;
  const whole = () => go({ since: "", until: "" });
  actions.back = () => (url.since ? whole() : false);
  if (!stats) return html`<main class="view"></main>`;
  if (!apps.length) return html`<main class="view"><${Connect} /></main>`;
  const add = (field) => (value) => go({ view: "live", filter: withWord(url.filter, condition(field, value)) });
  return html`
    <main class="view scroll overview">
      <dl class="figures">
        ${[["event", stats.events], ["session", stats.sessions], ["active user", stats.users], ["device", stats.devices]]
          .map(([name, number]) => html`<div key=${name}><dt>${name}${number === 1 ? "" : "s"}</dt><dd>${count(number)}</dd></div>`)}
      </dl>
      ${!stats.events ? html`<div class="empty"><h2>No event in this range</h2><${Everything} go=${go} /></div>` : html`
        <h2>Events by level <small>${url.since ? html`<button class="link" onClick=${whole}>back from the zoom</button>` : "drag to zoom"}</small></h2>
        <${Levels} stats=${stats} theme=${theme} onZoom=${(since, until) =>
          go({ since: String(since), until: String(until), event: "" })} />
        <h2>Active sessions and users</h2>
        <${Activity} stats=${stats} theme=${theme} />
        <div class="tables">
          <${Top} title="Names" rows=${stats.names.map((one) => [one.name, one.count])} onPick=${add("name")} />
          <${Top} title="Versions" unit="sessions" rows=${of(stats.versions)} onPick=${add("version")} />
          <${Top} title="Platforms" unit="sessions" rows=${of(stats.platforms)} onPick=${add("platform")} />
          <${Top} title="Languages" unit="sessions" rows=${of(stats.languages)} onPick=${add("language")} />
        </div>`}
    </main>`;
}

const of = (values) => values.map((one) => [one.value, one.sessions]);

function Top({ title, unit = "events", rows, onPick }) {
  const most = Math.max(1, ...rows.map(([, number]) => number));
  return html`<section><h2>${title} <small>${unit}</small></h2>
    ${!rows.length && html`<p class="quiet">none</p>`}
    <table class="top"><tbody>${rows.map(([value, number]) => html`
      <tr key=${value}><td class="share">
        <svg aria-hidden="true"><rect width=${`${(number / most) * 100}%`} height="100%" /></svg>
        <button title="filter by this" onClick=${() => onPick(value)}>${cut(value, 80)}</button></td>
        <td class="figure">${count(number)}</td></tr>`)}
    </tbody></table></section>`;
}

// Every bucket of the range, so that where nothing happened there is a gap and not a line.
function times(stats) {
  const first = Math.floor(stats.since / stats.step) * stats.step;
  const end = Math.min(stats.until, Date.now());
  const found = [];
  for (let date = first; date < end && found.length < 2000; date += stats.step) found.push(date / 1000);
  return found;
}

function column(points, xs, index) {
  const at = new Map(points.map(([date, ...numbers]) => [date / 1000, numbers[index]]));
  return xs.map((x) => at.get(x) || 0);
}

const sum = (numbers) => numbers.reduce((whole, one) => whole + one, 0);

function Levels({ stats, theme, onZoom }) {
  const [xs, series] = useMemo(() => {
    const dates = times(stats);
    const known = ORDER.filter((level) => stats.levels[level]);
    const levels = known.concat(Object.keys(stats.levels).filter((level) => !ORDER.includes(level)));
    return [dates, levels.map((level) => {
      const numbers = column(stats.levels[level], dates, 0);
      const color = ORDER.includes(level) ? level : "none";
      return { label: level === "none" ? "no level" : level, color, numbers, total: sum(numbers) };
    })];
  }, [stats]);
  return html`<${Bars} xs=${xs} step=${stats.step / 1000} series=${series} theme=${theme} onZoom=${onZoom}
    label=${`Events over time: ${series.map(({ label, total }) => `${label} ${total}`).join(", ")}`} />`;
}

function Activity({ stats, theme }) {
  const [xs, series] = useMemo(() => {
    const dates = times(stats);
    return [dates, [
      { label: "sessions", color: "accent", numbers: column(stats.activity, dates, 0), total: stats.sessions },
      { label: "users", color: "warning", numbers: column(stats.activity, dates, 1), total: stats.users },
    ]];
  }, [stats]);
  return html`<${Lines} xs=${xs} step=${stats.step / 1000} series=${series} theme=${theme}
    label=${`Sessions ${stats.sessions}, users ${stats.users}`} />`;
}
