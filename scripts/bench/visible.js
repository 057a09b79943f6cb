/* Notes in window.bench, in ms, when the page's first formula can be seen, when all `window.formulas` of the page are set,
 * and how far the layout shifted. The window is scrolled to the first formula as soon as it arrives, set or not. The
 * formula can be seen when it has a box, its fonts are there, and the frame that shows it is drawn. */
(() => {
  const bench = (window.bench = { first: null, all: null, shift: 0 });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) bench.shift += entry.value;
  }).observe({ type: "layout-shift", buffered: true });

  const marked = document.getElementsByClassName("arithmatex");
  const shown = document.getElementsByClassName("katex");

  function hasFonts(element) {
    const { fontStyle, fontWeight, fontFamily } = getComputedStyle(element);
    return document.fonts.check(`${fontStyle} ${fontWeight} 16px ${fontFamily}`);
  }

  function visible(formula) {
    if (!formula.getBoundingClientRect().width) return false;
    return [...formula.querySelectorAll(".katex-html *")].every(hasFonts);
  }

  // A message posted while a frame is prepared arrives after that frame is drawn.
  function note(name) {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => (bench[name] ??= performance.now());
    channel.port2.postMessage(null);
  }

  let scrolled = false;
  function look() {
    if (!scrolled && marked.length) {
      marked[0].scrollIntoView({ block: "center", behavior: "instant" });
      scrolled = true;
    }
    if (bench.first === null && shown.length && visible(shown[0])) note("first");
    if (shown.length >= window.formulas) note("all");
    if (bench.first === null || bench.all === null) requestAnimationFrame(look);
  }
  requestAnimationFrame(look);
})();
