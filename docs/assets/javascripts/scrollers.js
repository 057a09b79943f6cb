/* A formula or table wider than its column scrolls in its own box; a keyboard can scroll only what it can focus. Boxes
 * that overflow get a tab stop, the others (nearly all) do not. Without this script fingers and mice scroll as well. */
(() => {
  "use strict";

  const BOXES = "div.arithmatex, span.arithmatex--long, .md-typeset__scrollwrap, .md-typeset table:not([class])";

  const observer = new ResizeObserver((entries) => {
    for (const box of new Set(entries.map((entry) => entry.target.closest(BOXES)))) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  });

  function onPage() {
    observer.disconnect();
    for (const box of document.querySelectorAll(BOXES)) {
      observer.observe(box);
      // What is inside grows without the box when a font arrives.
      if (box.firstElementChild) observer.observe(box.firstElementChild);
    }
  }

  // document$ emits after every instant navigation, and once for the first page.
  if (window.document$) window.document$.subscribe(onPage);
  else onPage();
})();
