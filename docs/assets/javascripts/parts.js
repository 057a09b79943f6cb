/* The head of the page has put off laying out what is below the screen (class `parts-later`), so that the first screen
 * comes soon. Here the parts are laid out one by one while the browser is idle. Put off for good they would be missing
 * for screen readers, and links to a section would land beside it: any such link ends the waiting at once. */
(() => {
  "use strict";

  const root = document.documentElement;
  const whenIdle = window.requestIdleCallback ?? ((callback) => setTimeout(callback, 50));

  function layOutAll() {
    root.classList.remove("parts-later");
  }

  function layOut([part, ...others]) {
    if (!root.classList.contains("parts-later")) return;
    if (!part) return layOutAll();
    part.style.contentVisibility = "visible";
    whenIdle(() => layOut(others));
  }

  function onLoad() {
    whenIdle(() => layOut([...document.querySelectorAll(".part")]));
  }

  document.addEventListener("click", (event) => event.target.closest?.("a[href*='#']") && layOutAll(), true);
  window.addEventListener("hashchange", layOutAll);
  window.addEventListener("beforeprint", layOutAll);
  if (document.readyState === "complete") onLoad();
  else window.addEventListener("load", onLoad);
})();
