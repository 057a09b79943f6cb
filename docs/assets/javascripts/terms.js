/* A term of the glossary shows its definition where it is used; without this script it is a link to its explanation.
 *
 * One popover serves all terms. A mouse shows it by resting on the term, a finger or the keyboard by pressing it; the
 * link inside it leads where the term is explained. */
(() => {
  "use strict";

  if (!HTMLElement.prototype.showPopover) return;
  const DELAY = 250; // ms of rest, so that a passing pointer opens nothing

  let timer = 0;
  let shown = null;

  function element(name, attributes) {
    return Object.assign(document.createElement(name), attributes);
  }

  const box = element("div", { className: "term-box", popover: "auto", ariaLive: "polite" });
  const definition = element("p", { className: "term-box__text" });
  const more = element("a", { className: "term-box__more", textContent: "Подробнее" });
  box.append(definition, more);
  box.addEventListener("toggle", (event) => {
    if (event.newState === "closed") shown = null;
  });

  /** Below the term, or above it where the window ends; never past its sides. */
  function place(term) {
    const line = term.getClientRects()[0];
    const margin = 8;
    const right = document.documentElement.clientWidth - box.offsetWidth - margin;
    const below = line.bottom + margin / 2;
    const fits = below + box.offsetHeight < window.innerHeight;
    box.style.left = `${Math.max(margin, Math.min(line.left, right))}px`;
    box.style.top = `${fits ? below : Math.max(margin, line.top - box.offsetHeight - margin / 2)}px`;
  }

  function show(term) {
    clearTimeout(timer);
    if (shown === term) return;
    definition.textContent = term.dataset.definition;
    more.href = term.href;
    // The theme replaces the body's content when it changes pages.
    if (!box.isConnected) document.body.append(box);
    if (!box.matches(":popover-open")) box.showPopover();
    place(term);
    shown = term;
  }

  function hideSoon() {
    clearTimeout(timer);
    timer = setTimeout(() => box.isConnected && box.hidePopover(), DELAY);
  }

  document.addEventListener("click", (event) => {
    const term = event.target.closest?.("a.term");
    // With a modifier key the link stays a link; a second press follows it.
    if (!term || event.ctrlKey || event.metaKey || event.shiftKey || (shown === term && event.detail === 0)) return;
    event.preventDefault();
    event.stopPropagation();
    show(term);
  }, true);

  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    const term = event.target.closest?.("a.term");
    clearTimeout(timer);
    if (term) timer = setTimeout(show, DELAY, term);
    else if (shown && !box.contains(event.target)) hideSoon();
  });

  // What follows the window's scrolling would leave its term behind.
  document.addEventListener("scroll", () => shown && box.hidePopover(), { passive: true, capture: true });
})();
