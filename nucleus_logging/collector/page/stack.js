// A stack, with the frames of libraries folded.

import { html } from "./vendor/htm-preact/standalone.module.js";
import { cut } from "./format.js";

const LIBRARY = /site-packages|dist-packages|[/\\]lib[/\\]python\d|<frozen |node_modules|node:|\(native\)|webpack\/runtime/;
const MOST = 50_000; // characters; more would stall the page

// Frames of libraries fold together; a frame is its line and the lines of code below it.
function folded(stack) {
  const groups = [];
  let fromLibrary = false;
  for (const line of stack.split("\n")) {
    const frame = /^\s*(?:\| *)*(?:File "|at )/.test(line);
    if (frame) fromLibrary = LIBRARY.test(line);
    else if (/^\S/.test(line)) fromLibrary = false; // "ValueError: …", "Traceback …"
    const last = groups[groups.length - 1];
    if (last && last.fromLibrary === fromLibrary) last.lines.push(line);
    else groups.push({ fromLibrary, lines: [line], frames: 0 });
    if (frame) groups[groups.length - 1].frames += 1;
  }
  return groups;
}

export function Stack({ stack }) {
  return html`<h3>Stack ${stack.length > MOST && html`<small>its first ${MOST} characters; copied whole</small>`}</h3><div class="stack" tabindex="0" role="region" aria-label="Stack">
    ${folded(cut(stack.trimEnd(), MOST)).map((group, index) => group.fromLibrary
      ? html`<details key=${index}><summary>${group.frames} library frame${group.frames === 1 ? "" : "s"}</summary>
          <pre>${group.lines.join("\n")}</pre></details>`
      : html`<pre key=${index}>${group.lines.join("\n")}</pre>`)}
  </div>`;
}
