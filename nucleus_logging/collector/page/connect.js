// Nothing here yet: how an application is connected, with this server's address.

import { html, useState } from "./vendor/htm-preact/standalone.module.js";

const endpoint = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;

const SNIPPETS = {
  dictConfig: `import logging.config

logging.config.dictConfig({
    "version": 1,
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

export function Snippet({ code, label }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(code);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return html`
    <div class="snippet"><button onClick=${copy} aria-label=${`Copy ${label}`}>${copied ? "copied" : "copy"}</button>
      <pre tabindex="0">${code}</pre></div>`;
}

export function Connect({ failure, elsewhere, go }) {
  const [shown, setShown] = useState("dictConfig");
  return html`
    <div class="empty">
      <h2>${failure ? "The server does not answer" : "Connect an application"}</h2>
      <div class="tabs small" role="tablist">
        ${Object.keys(SNIPPETS).map((name) => html`
          <button role="tab" key=${name} aria-selected=${name === shown} onClick=${() => setShown(name)}>${name}</button>`)}
      </div>
      <${Snippet} code=${SNIPPETS[shown]} label=${shown} />
      <p class="quiet" role="status">${failure || "waiting for the first event…"}</p>
      ${elsewhere && html`<p><button class="link" onClick=${() => go({ range: "all", since: "", until: "" })}>
        look through all time</button></p>`}
    </div>`;
}
