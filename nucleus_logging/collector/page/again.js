// A file of the page that did not come, since the network changed meanwhile: all of it once more,
// soon; and where that did not help, for what keeps it away may last, now and then.
addEventListener("error", (event) => {
  const [{ type }] = performance.getEntriesByType("navigation");
  if (event.target instanceof Element) setTimeout(() => location.reload(), type === "reload" ? 10_000 : 1000);
}, true);
