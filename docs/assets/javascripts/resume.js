/* Where you stopped: remembers the last question page and its section, and offers it on the start page.
 *
 * One entry in localStorage, {path, title, section, anchor}, under a key that contains the site's base path, so that
 * two sites on one host do not mix. When storage is blocked or holds something else, the offer just does not appear. */
(() => {
  "use strict";

  // Read once: after instant navigation the address changes, but `base` stays relative to the first page.
  const config = JSON.parse(document.getElementById("__config").textContent);
  const base = new URL(config.base.replace(/\/?$/, "/"), location.href);
  const key = `${base.pathname}resume`;

  const text = (node) => {
    const copy = node.cloneNode(true);
    copy.querySelectorAll(".headerlink, .katex-mathml").forEach((extra) => extra.remove());
    return copy.textContent.trim();
  };

  /** The heading of the section being read: the last one above the upper third of the window. */
  function currentSection(article) {
    const passed = (heading) => heading.getBoundingClientRect().top < window.innerHeight / 3;
    return [...article.querySelectorAll("h2[id], h3[id]")].filter(passed).pop();
  }

  function save() {
    const article = document.querySelector("article:has(> .question-card)");
    if (!article) return;
    const section = currentSection(article);
    const entry = {
      path: location.pathname.slice(base.pathname.length),
      title: [article.querySelector(".question-card__label"), article.querySelector("h1")].map(text).join(". "),
      section: section ? text(section) : "",
      anchor: section ? section.id : "",
    };
    try {
      localStorage.setItem(key, JSON.stringify(entry));
    } catch {
      // Storage is blocked or full: nothing is remembered.
    }
  }

  function offer(place) {
    let entry;
    try {
      entry = JSON.parse(localStorage.getItem(key));
    } catch {
      return;
    }
    if (typeof entry?.path !== "string" || typeof entry.title !== "string") return;
    const target = new URL(entry.path, base);
    if (!target.href.startsWith(base.href)) return;
    if (entry.anchor) target.hash = entry.anchor;
    const link = document.createElement("a");
    link.href = target.href;
    link.textContent = entry.section ? `${entry.title} – «${entry.section}»` : entry.title;
    place.replaceChildren("Продолжить: ", link);
    place.hidden = false;
  }

  let waiting = false;
  function onScroll() {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      save();
    }, 500);
  }

  function onPage() {
    const place = document.querySelector("[data-resume]");
    if (place) offer(place);
    save();
  }

  window.addEventListener("scroll", onScroll, { passive: true });
  // document$ emits after every instant navigation, and once for the first page.
  if (window.document$) window.document$.subscribe(onPage);
  else onPage();
})();
