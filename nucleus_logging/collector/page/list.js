// The list of events: only the rows in view exist, whatever their number.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/htm-preact/standalone.module.js";
import { clock, cut, extrasOf, fullDate, levelClass, levelWord, messageOf } from "./format.js";

export const ROW = 28;
const BESIDE = 12; // rows above and below the view, so that a quick scroll shows no gap

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
    onScroll(scrollTop);
    if (scrollTop + clientHeight > scrollHeight - 20 * ROW) onEnd();
  };

  const first = Math.max(0, Math.floor(view.top / ROW) - BESIDE);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / ROW) + BESIDE);
  return html`
    <div class="list" ref=${box} onScroll=${scrolled} role="table" aria-label="Events"
        aria-rowcount=${total} tabindex="0">
      <div class="rows" role="rowgroup" style=${{ height: rows.length * ROW + "px" }}>
        ${rows.slice(first, last).map((event, offset) => html`
          <${Row} key=${event.seq} event=${event} index=${first + offset} several=${several}
            selected=${event.seq === selected} fresh=${fresh.has(event.seq)} onSelect=${onSelect} />`)}
      </div>
    </div>`;
}

function Row({ event, index, selected, fresh, several, onSelect }) {
  const level = levelClass(event.level);
  return html`
    <div role="row" aria-rowindex=${index + 1} aria-selected=${selected}
        class=${`row level-${level}${selected ? " selected" : ""}${fresh ? " fresh" : ""}`}
        style=${{ top: index * ROW + "px" }} onClick=${() => onSelect(event)}>
      <span role="cell" class="time" title=${fullDate(event.date)}>${clock(event.date)}</span>
      <span role="cell" class="level">${levelWord(event.level)}</span>
      <span role="cell" class="name">${cut(event.name || event.type, 200)}</span>
      <span role="cell" class="message">${messageOf(event)}</span>
      <span role="cell" class="extras">${extrasOf(event)}</span>
      ${several && html`<span role="cell" class="origin">${event.app} ${event.session || ""}</span>`}
    </div>`;
}
