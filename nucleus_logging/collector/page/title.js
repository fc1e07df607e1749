// Title and favicon count the errors that came while nobody looked.

import { useEffect, useRef } from "./vendor/htm-preact/standalone.module.js";

export function useUnseenErrors() {
  const number = useRef(0);
  const show = () => {
    document.title = number.current ? `(${number.current}) nucleus-logging` : "nucleus-logging";
    const color = number.current ? "c4262e" : "0b62c4";
    document.getElementById("favicon").href = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' " +
      `viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='6' fill='%23${color}'/%3E%3C/svg%3E`;
  };
  useEffect(() => {
    const looked = () => { if (!document.hidden) { number.current = 0; show(); } };
    document.addEventListener("visibilitychange", looked);
    return () => document.removeEventListener("visibilitychange", looked);
  }, []);
  return (events) => {
    if (!document.hidden) return;
    const more = events.filter((event) => event.level === "error" || event.level === "critical").length;
    if (!more) return;
    number.current += more;
    show();
  };
}
