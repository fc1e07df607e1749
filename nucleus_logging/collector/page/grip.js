// The edge between a list and what is beside it: dragged, or moved by the arrow keys; remembered.

import { html, useEffect, useState } from "./vendor/htm-preact/standalone.module.js";

const LEAST = 25;
const MOST = 75;
const STEP = 4;

export function Grip() {
  const [width, setWidth] = useState(() => Number(localStorage.getItem("detail")) || 44);
  const set = (wanted) => {
    const next = Math.round(Math.max(LEAST, Math.min(MOST, wanted)));
    localStorage.setItem("detail", String(next));
    setWidth(next);
  };
  useEffect(() => document.documentElement.style.setProperty("--detail", `${width}%`), [width]);
  const dragged = (event) => {
    if (event.currentTarget.hasPointerCapture(event.pointerId)) set(100 - (event.clientX / innerWidth) * 100);
  };
  const keyed = (event) => {
    const step = { ArrowLeft: STEP, ArrowRight: -STEP }[event.key];
    if (step) set(width + step);
  };
  return html`<div class="grip" role="separator" tabindex="0" aria-orientation="vertical" aria-label="Width of the event"
    aria-valuenow=${width} aria-valuemin=${LEAST} aria-valuemax=${MOST} onPointerMove=${dragged} onKeyDown=${keyed}
    onPointerDown=${(event) => event.currentTarget.setPointerCapture(event.pointerId)}></div>`;
}
