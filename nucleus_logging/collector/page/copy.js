// A button that copies, and says that it did.

import { html, useState } from "./vendor/htm-preact/standalone.module.js";

export function Copy({ children, value, label }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await toClipboard(value());
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return html`<button onClick=${copy} aria-label=${copied ? undefined : label}>${copied ? "copied" : children}</button>`;
}

// The clipboard is for secure pages only: over plain HTTP from another machine there is the old way.
async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
