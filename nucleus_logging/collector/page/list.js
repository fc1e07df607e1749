// The list of events: only the rows in view exist, whatever their number.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/htm-preact/standalone.module.js";
import { clock, cut, fullDate, levelClass, levelWord, shortly } from "./format.js";

export const ROW = 28;
const BESIDE = 12; // rows above and below the view, so that a quick scroll shows no gap
const COLUMNS = ["time", "level", "name", "message", "fields", "app and session"];

export function List({ rows, selected, fresh, several, onSelect, onScroll, onEnd, total }) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600 });

  useLayoutEffect(() => {
    const element = box.current;
    const measure = () => setView({ top: element.scrollTop, height: element.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);

  // The selected row stays in view when it is moved to by keys.
  useEffect(() => {
    const index = rows.findIndex((event) => event.seq === selected);
    if (index < 0) return;
    const element = box.current;
    const head = index * ROW;
    if (head < element.scrollTop) element.scrollTop = head;
    else if (head + ROW > element.scrollTop + element.clientHeight) {
      element.scrollTop = head + ROW - element.clientHeight;
    }
  }, [selected]);

  const scrolled = () => {
    const { scrollTop, clientHeight, scrollHeight } = box.current;
    setView({ top: scrollTop, height: clientHeight });
    onScroll(scrollTop > ROW);
    if (scrollTop + clientHeight > scrollHeight - 20 * ROW) onEnd();
  };

  const first = Math.max(0, Math.floor(view.top / ROW) - BESIDE);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / ROW) + BESIDE);
  return html`
    <div class="list" ref=${box} onScroll=${scrolled} role="table" aria-label="Events"
        aria-rowcount=${total} tabindex="0">
      <div role="rowgroup" class="unseen"><div role="row" aria-rowindex="1">
        ${COLUMNS.map((name) => html`<span role="columnheader">${name}</span>`)}</div></div>
      <div class="rows" role="rowgroup" style=${{ height: rows.length * ROW + "px" }}>
        ${rows.slice(first, last).map((event, offset) => html`
          <${Row} key=${event.seq} event=${event} index=${first + offset} several=${several}
            selected=${event.seq === selected} fresh=${fresh.has(event.seq)} onSelect=${onSelect} />`)}
      </div>
    </div>`;
}

// Selected when the button goes down: under a stream, another row may be there when it goes up.
function Row({ event, index, selected, fresh, several, onSelect }) {
  const { message, extras } = shortly(event);
  return html`
    <div role="row" aria-rowindex=${index + 2} aria-current=${selected ? "true" : undefined}
        class=${`row level-${levelClass(event.level)}${selected ? " selected" : ""}${fresh ? " fresh" : ""}${message ? "" : " alone"}`}
        style=${{ transform: `translateY(${index * ROW}px)` }} onMouseDown=${(down) => down.button === 0 && onSelect(event)}>
      <span role="cell" class="time" title=${fullDate(event.date)}>${clock(event.date)}</span>
      <span role="cell" class="level">${levelWord(event.level)}</span>
      <span role="cell" class="name">${cut(event.name || event.type, 200)}</span>
      <span role="cell" class="message">${message}</span>
      <span role="cell" class="extras">${extras}</span>
      ${several && html`<span role="cell" class="origin">${event.app} ${event.session || ""}</span>`}
    </div>`;
}
