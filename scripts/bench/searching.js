/* window.bench: `first`, when the first result can be seen, in ms since the page was asked for; `turn`, which does what a
 * reader does who turns to the search, and tells when; `type` and `find`, which ask Material's dialog and Pagefind and tell
 * how many ms the answer took. `window.asked` is what Pagefind, which has no place on the page, is asked for on load. */
(() => {
  const SETTLED = ".md-search-result__item, .bench-result";
  const QUERY = 2;
  const RESULT = 3;
  const bench = (window.bench = { first: null, turn, type, find });
  let began = 0;
  let answered = null;

  window.Worker = class extends window.Worker {
    constructor(...parameters) {
      super(...parameters);
      this.addEventListener("message", ({ data }) => data.type === RESULT && answered?.(performance.now() - began));
    }

    postMessage(message, ...others) {
      if (message.type === QUERY) began = performance.now();
      super.postMessage(message, ...others);
    }
  };

  const field = () => document.querySelector("[data-md-component=search-query]");

  function turn(query, engine) {
    const now = performance.now();
    if (engine === "Pagefind") show(query);
    else {
      field().focus();
      type(query);
    }
    return now;
  }

  function type(query) {
    return new Promise((resolve) => {
      answered = resolve;
      field().value = query;
      field().dispatchEvent(new KeyboardEvent("keyup", { bubbles: true }));
    });
  }

  const pagefind = () => import(new URL("pagefind/pagefind.js", window.root).href);

  /** What Pagefind's own interface does for a key: search, and read the excerpts of the first five results. */
  async function find(query) {
    const start = performance.now();
    const { results } = await (await pagefind()).search(query);
    const excerpts = await Promise.all(results.slice(0, 5).map((result) => result.data()));
    return [performance.now() - start, excerpts];
  }

  async function show(query) {
    const [, [best]] = await find(query);
    document.body.append(Object.assign(document.createElement("p"), { className: "bench-result", innerHTML: best.excerpt }));
  }

  function look() {
    if (document.querySelector(SETTLED)?.checkVisibility()) bench.first = performance.now();
    else requestAnimationFrame(look);
  }

  requestAnimationFrame(look);
  if (window.asked) document.addEventListener("DOMContentLoaded", () => show(window.asked));
})();
