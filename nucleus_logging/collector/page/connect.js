// Nothing here yet: how an application is connected, with this server's address.

import { html, useRef, useState } from "./vendor/htm-preact/standalone.module.js";
import { Copy } from "./copy.js";

const endpoint = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;

const SNIPPETS = {
  dictConfig: `import logging.config

logging.config.dictConfig({
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {
        "nucleus": {
            "class": "nucleus_logging.NucleusHandler",
            "app_id": "my-app",
            "endpoint": "${endpoint}",
        },
    },
    "root": {"handlers": ["nucleus"], "level": "INFO"},
})
logging.getLogger(__name__).info("hello from %s", "my-app")
`,
  structlog: `import structlog
from nucleus_logging import NucleusProcessor

structlog.configure(processors=[
    structlog.processors.add_log_level,
    NucleusProcessor("my-app", endpoint="${endpoint}"),
    structlog.dev.ConsoleRenderer(),
])
structlog.get_logger().info("hello", who="my-app")
`,
  attach: `import logging
import nucleus_logging

nucleus_logging.attach("uvicorn.error", "my-app", endpoint="${endpoint}")
logging.getLogger("uvicorn.error").warning("hello")
`,
};
const NAMES = Object.keys(SNIPPETS);

export function Connect() {
  const [shown, setShown] = useState("dictConfig");
  const tabs = useRef({});
  const turned = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const name = NAMES[(NAMES.indexOf(shown) + step + NAMES.length) % NAMES.length];
    setShown(name);
    tabs.current[name].focus();
  };
  return html`
    <div class="empty">
      <h2>Connect an application</h2>
      <div class="tabs small" role="tablist" aria-label="Ways to connect" onKeyDown=${turned}>
        ${NAMES.map((name) => html`
          <button role="tab" key=${name} id=${`tab-${name}`} aria-selected=${name === shown} aria-controls="snippet"
            tabindex=${name === shown ? 0 : -1} ref=${(tab) => { tabs.current[name] = tab; }}
            onClick=${() => setShown(name)}>${name}</button>`)}
      </div>
      <div class="snippet" role="tabpanel" id="snippet" aria-labelledby=${`tab-${shown}`}>
        <${Copy} key=${shown} label=${`Copy ${shown}`} value=${() => SNIPPETS[shown]}>copy<//>
        <pre tabindex="0">${SNIPPETS[shown]}</pre></div>
      <p class="quiet" role="status">waiting for the first event…</p>
    </div>`;
}
