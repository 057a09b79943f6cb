/* A figure opens large in a dialog, where a phone can pan it; without this script its link opens the drawing itself.
 * One listener on the document serves every page, so instant navigation needs no re-binding. */
(() => {
  "use strict";

  function element(name, attributes) {
    return Object.assign(document.createElement(name), attributes);
  }

  /** Show the drawing that `image` shows; focus returns to `opener` when the dialog closes. */
  function open(image, opener) {
    const dialog = element("dialog", { className: "zoom" });
    const box = element("div", { className: "zoom__box", tabIndex: 0 });
    const large = element("img", { className: "zoom__image", src: image.currentSrc || image.src, alt: image.alt });
    const close = element("button", { className: "zoom__close", type: "button", textContent: "×" });
    close.setAttribute("aria-label", "Закрыть рисунок");
    dialog.setAttribute("aria-label", "Рисунок крупно");
    // The drawing's own size gives the box its height before the file has arrived.
    large.width = image.width;
    large.height = image.height;
    box.append(large);
    dialog.append(close, box);
    document.body.append(dialog);

    large.addEventListener("click", () => dialog.classList.toggle("zoom--fit"));
    box.addEventListener("click", (event) => event.target === box && dialog.close());
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      opener.focus({ preventScroll: true });
    });
    dialog.showModal();
    box.focus();
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a.figure__link");
    // With a modifier key, or in a browser without <dialog>, the link stays a link.
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !window.HTMLDialogElement) return;
    const image = [...link.querySelectorAll("img")].find((one) => one.offsetWidth > 0);
    if (!image) return;
    event.preventDefault();
    open(image, link);
  });
})();
