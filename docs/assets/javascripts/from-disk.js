/* A site opened from disk: what a server would do. To be run before Material's script. */
(() => {
  "use strict";

  if (location.protocol !== "file:") return;

  // Material's instant navigation stands aside here, but takes with it the announcement of the page that its own parts
  // and the scripts of this site wait for.
  const config = document.getElementById("__config");
  const settings = JSON.parse(config.textContent);
  settings.features = settings.features.filter((feature) => !feature.startsWith("navigation.instant"));
  config.textContent = JSON.stringify(settings);

  /** A server answers for a folder with its index.html. */
  function nameThePage(link) {
    const target = new URL(link.href);
    if (target.protocol !== "file:" || !target.pathname.endsWith("/")) return;
    target.pathname += "index.html";
    link.href = target.href;
  }

  function onPress(event) {
    const link = event.target.closest?.("a[href]");
    if (link instanceof HTMLAnchorElement) nameThePage(link);
  }

  // Material's keys for the neighbours read these.
  document.querySelectorAll("link:is([rel=prev], [rel=next])").forEach(nameThePage);
  for (const press of ["click", "auxclick"]) document.addEventListener(press, onPress, true);
})();
