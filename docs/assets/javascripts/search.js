/* The search's engine and its index, a few hundred kilobytes, are fetched when the reader turns to the search, not with
 * every page. This script runs before Material's, which makes a worker at once: it is given a stand-in that looks like
 * one and starts the real engine later. What else Material's search shows and does remains as it is.
 *
 * Messages: {type: 0, data: {url}} tells the worker where the index is, {type: 1} says that it is ready, {type: -1, data}
 * that it failed; {type: 2, data: query} asks, {type: 3, data: {items, suggest, nearest}} answers. */
(() => {
  "use strict";

  const FAILED = -1;
  const SETUP = 0;
  const READY = 1;
  const QUERY = 2;
  const RESULT = 3;

  const FAILURE = "Поиск не загрузился. Проверьте сеть и обновите страницу.";
  const EVERYTHING = [
    { location: "tickets/", title: "Все билеты" },
    { location: "theory-minimum/", title: "Теоретический минимум" },
    { location: "glossary/", title: "Глоссарий" },
  ];

  const field = document.querySelector("[data-md-component=search-query]");
  const toggle = document.getElementById("__search");
  const meta = document.querySelector(".md-search-result__meta");
  if (!field || !toggle || !meta) return;

  // Read once: after instant navigation the address changes, but these stay relative to the first page.
  const config = JSON.parse(document.getElementById("__config").textContent);
  const base = new URL(config.base.replace(/\/?$/, "/"), location.href);
  const address = new URL(config.search, location.href).href;
  const fromDisk = location.protocol === "file:";

  function element(name, attributes, ...children) {
    const made = Object.assign(document.createElement(name), attributes);
    made.append(...children);
    return made;
  }

  // ---- Nothing found: where else to look -------------------------------------------------------------------------------

  const elsewhere = element("div", { className: "search-elsewhere" });

  function links(places) {
    const items = places.map(({ location, title }) => {
      const href = new URL(location, base).href;
      // No stop for Tab, which closes the search: like the results, they are reached with the arrows.
      return element("li", {}, element("a", { href, textContent: title, tabIndex: -1 }));
    });
    return element("ul", {}, ...items);
  }

  function offerElsewhere(nearest) {
    const guess = nearest.length ? [element("p", { textContent: "Возможно, вы искали:" }), links(nearest)] : [];
    elsewhere.replaceChildren(...guess, links(EVERYTHING));
    // Material takes the first child for the line above and the last one for the list.
    meta.after(elsewhere);
  }

  function onAnswer(query, { items, nearest = [] }) {
    if (items.length || !query.trim()) elsewhere.remove();
    else offerElsewhere(nearest);
  }

  // Material's Enter opens the best result and would stumble over links that are none.
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !elsewhere.isConnected) return;
    event.preventDefault();
    event.stopPropagation();
  });

  // ---- The engine: something with `ask` and `stop` that tells what it says ---------------------------------------------

  function inWorker(tell) {
    const worker = new RealWorker(address);
    worker.addEventListener("message", ({ data }) => tell(data));
    worker.addEventListener("error", () => tell({ type: FAILED }));
    worker.postMessage({ type: SETUP, data: { url: new URL("search/search_index.json", base).href } });
    return { ask: (message) => worker.postMessage(message), stop: () => worker.terminate() };
  }

  function load(source) {
    return new Promise((resolve, reject) => {
      document.head.append(element("script", { src: source, onload: resolve, onerror: reject }));
    });
  }

  /** A page opened from disk may neither start a worker nor fetch: scripts bring the engine and the index. */
  function inPage(tell) {
    let engine;
    Promise.all([load(new URL("search/search_index.js", base).href), load(address)])
      .then(() => {
        engine = globalThis.SearchEngine.create(globalThis.__index);
        tell({ type: READY });
      })
      .catch(() => tell({ type: FAILED }));
    return { ask: ({ data }) => setTimeout(() => tell({ type: RESULT, data: engine.answer(data) })), stop() {} };
  }

  // ---- The stand-in ----------------------------------------------------------------------------------------------------

  const initial = meta.textContent;

  function makeStandIn() {
    const standIn = new EventTarget();
    let engine = null;
    let ready = false;
    let query = null;

    function start() {
      if (engine) return;
      if (meta.textContent === FAILURE) meta.textContent = initial;
      engine = (fromDisk ? inPage : inWorker)(hear);
    }

    function stop() {
      engine?.stop();
      engine = null;
      ready = false;
    }

    function hear(message) {
      if (message.type === FAILED) return fail();
      const unanswered = query;
      if (message.type === READY) ready = true;
      standIn.dispatchEvent(new MessageEvent("message", { data: message }));
      if (message.type === RESULT) onAnswer(query.data, message.data);
      // Material asks when it is told so for the first time, but not when a second attempt succeeds.
      if (message.type === READY && unanswered) engine.ask(unanswered);
    }

    function fail() {
      stop();
      elsewhere.remove();
      meta.textContent = FAILURE;
    }

    standIn.postMessage = (message) => {
      if (message.type !== QUERY) return;
      query = message;
      if (ready) engine.ask(message);
    };
    standIn.terminate = stop;

    field.addEventListener("focus", start);
    toggle.addEventListener("change", () => toggle.checked && start());
    const asked = new URLSearchParams(location.search).has("q");
    if (asked || toggle.checked || document.activeElement === field) start();
    return standIn;
  }

  const RealWorker = window.Worker;
  window.Worker = function Worker(url, options) {
    return new URL(url, location.href).href === address ? makeStandIn() : new RealWorker(url, options);
  };
  window.Worker.prototype = RealWorker.prototype;
})();
