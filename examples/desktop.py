"""A desktop application whose user decides whether it sends anything.

    NUCLEUS_APP_ID=notes python -m examples.desktop

The choice is kept beside the application's other settings. Without consent nothing is taken, so
there is nothing to send when it is given later.
"""

from __future__ import annotations

import json
import logging
import tkinter as tk
from pathlib import Path
from typing import TYPE_CHECKING

import nucleus_logging

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger("notes")
log.setLevel(logging.INFO)
SETTINGS = Path.home() / ".notes.json"


class Notes(tk.Tk):
    """A window to write notes in."""

    def __init__(self) -> None:
        super().__init__()
        self.title("Notes")
        self.nucleus = nucleus_logging.attach(log, shutdown_timeout=1.0).client
        self.consent = tk.BooleanVar(self, value=_settings().get("consent", False))
        self.text = tk.Text(self, height=10)
        self.save = tk.Button(self, text="Save", command=self.save_note)
        self.agree = tk.Checkbutton(
            self, text="Send usage statistics", variable=self.consent, command=self.consented
        )
        for widget in (self.text, self.save, self.agree):
            widget.pack()
        self.consented()
        self.nucleus.page("editor")

    def consented(self) -> None:
        """Do as the user wishes, now and at the next start."""
        if self.consent.get():
            self.nucleus.enable_tracking()
        else:
            self.nucleus.disable_tracking()
        SETTINGS.write_text(json.dumps({"consent": self.consent.get()}), encoding="utf-8")

    def save_note(self) -> None:
        """Save what was written; an empty note is an error."""
        note = self.text.get("1.0", "end").strip()
        if not note:
            raise ValueError("nothing to save")
        log.info("saved", extra={"characters": len(note)})

    def report_callback_exception(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """Log what a callback raised; Tk only prints it."""
        log.error("callback failed", exc_info=error)


def _settings() -> dict[str, bool]:
    try:
        found: dict[str, bool] = json.loads(SETTINGS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


if __name__ == "__main__":
    Notes().mainloop()
