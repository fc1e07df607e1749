// A file of the page that did not come, since the network changed meanwhile: all of it once more.
addEventListener("error", (event) => {
  if (event.target instanceof Element) setTimeout(() => location.reload(), 1000);
}, true);
