// The keyboard: what each key does, and the list of them.

import { html, useEffect, useRef } from "./vendor/htm-preact/standalone.module.js";

const KEYS = [["/", "filter"], ["j / k", "next, previous"], ["Enter", "open"], ["Esc", "back"], ["p", "pause"],
  ["e", "errors only"], ["← / →", "along the session"], ["1 2 3", "views"], ["?", "this list"]];

// `does` has a function for each key, which says false when it had nothing to do; typing into a
// field is no command.
export function useKeys(does) {
  useEffect(() => {
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (event.target.closest("input, textarea, select, dialog")) return;
      const act = does[event.key];
      if (!act) return;
      // Enter on a control is for that control, arrows in what scrolls or turns by them as well.
      if (event.key === "Enter" && event.target.closest("button, summary, [role=button]")) return;
      if (event.key.startsWith("Arrow") && event.target.closest("pre, .stack, [role=tab], [role=separator]")) return;
      if (act() !== false) event.preventDefault();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
}

export function Help({ onClose }) {
  const box = useRef(null);
  useEffect(() => box.current.showModal(), []);
  return html`<dialog class="help" ref=${box} aria-label="Keys" onClose=${onClose}
      onKeyDown=${(event) => event.key === "?" && box.current.close()}>
    <h2>Keys</h2>
    <table><tbody>${KEYS.map(([key, text]) => html`
      <tr key=${key}><th scope="row"><kbd>${key}</kbd></th><td>${text}</td></tr>`)}</tbody></table>
    <button onClick=${() => box.current.close()}>close</button></dialog>`;
}
