/* A formula or table wider than its column scrolls in its own box; a keyboard can scroll only what it can focus. Boxes
 * that overflow get a tab stop, the others (nearly all) do not. Without this script fingers and mice scroll as well. */
(() => {
  "use strict";

  const BOXES = "div.arithmatex, span.arithmatex--long, .md-typeset__scrollwrap, .md-typeset table:not([class])";

  const observer = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth + 1) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });

  function onPage() {
    observer.disconnect();
    document.querySelectorAll(BOXES).forEach((box) => observer.observe(box));
  }

  // document$ emits after every instant navigation, and once for the first page.
  if (window.document$) window.document$.subscribe(onPage);
  else onPage();
})();
