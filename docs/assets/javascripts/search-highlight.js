/* A result of the search names the words it was found by in `?h=`; here they are marked in the text of the page. */
(() => {
  "use strict";

  const MOST_WORDS = 20;
  const MOST_MARKS = 200;
  const WHOLE = 2; // words up to this length are marked only when they stand alone: «в» begins every tenth word
  const LEFT_OUT = ".katex, .arithmatex, code, pre, svg, script, style, mark, .headerlink";

  const escaped = (text) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&").replace(/[её]/giu, "[её]");
  const alternative = (word) => escaped(word) + (word.length > WHOLE ? "" : "(?![\\p{L}\\p{N}])");

  /** What begins with one of the words; the first group is what stands before it, the second what is marked. */
  function pattern(words) {
    const longestFirst = [...new Set(words)].sort((one, other) => other.length - one.length);
    return new RegExp(`(^|[^\\p{L}\\p{N}])(${longestFirst.map(alternative).join("|")})`, "giu");
  }

  function textsOf(article) {
    const accept = (node) => {
      if (node.nodeType === Node.TEXT_NODE) return NodeFilter.FILTER_ACCEPT;
      return node.matches(LEFT_OUT) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_SKIP;
    };
    const walker = document.createTreeWalker(article, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, accept);
    const texts = [];
    while (walker.nextNode()) texts.push(walker.currentNode);
    return texts;
  }

  function marked(text) {
    const mark = document.createElement("mark");
    mark.dataset.mdHighlight = "";
    mark.textContent = text;
    return mark;
  }

  /** Put marks into one text, at most `room`, and say how many. */
  function markText(node, words, room) {
    const text = node.data;
    const pieces = [];
    let end = 0;
    for (const match of text.matchAll(words)) {
      if (pieces.length === 2 * room) break;
      const start = match.index + match[1].length;
      pieces.push(text.slice(end, start), marked(match[2]));
      end = start + match[2].length;
    }
    if (pieces.length) node.replaceWith(...pieces, text.slice(end));
    return pieces.length / 2;
  }

  function unmark() {
    for (const mark of document.querySelectorAll("main mark[data-md-highlight]")) {
      const around = mark.parentNode;
      mark.replaceWith(mark.textContent);
      around.normalize();
    }
  }

  function mark(query) {
    const article = document.querySelector("main article");
    const words = query.trim().split(/\s+/).filter(Boolean).slice(0, MOST_WORDS);
    if (!article || !words.length) return;
    const wanted = pattern(words);
    let room = MOST_MARKS;
    for (const text of textsOf(article)) {
      if (!room) return;
      room -= markText(text, wanted, room);
    }
  }

  let page = null; // the one that the document shows: a new address comes before its page
  let query = "";

  function onAddress() {
    const wanted = new URLSearchParams(location.search).get("h") ?? "";
    if (location.pathname !== page || wanted === query) return;
    query = wanted;
    unmark();
    mark(query);
  }

  function onPage() {
    page = location.pathname;
    query = "";
    onAddress();
  }

  // document$ emits after every instant navigation, and once for the first page; location$ also when the page remains
  // and only the words are others.
  if (window.document$) window.document$.subscribe(onPage);
  else onPage();
  window.location$?.subscribe(onAddress);
})();
