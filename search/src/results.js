// The shape of an answer: what Material's search dialog shows for the pages and sections that were found.

import { skeleton, stem, words } from "./text.js"

const MOST_PAGES = 12
const LEAST_PAGE = 0.2 // of the best page's score
const MOST_OPEN = 3 // sections of a page that are shown without unfolding
const MOST_FOLDED = 4
const LEAST_OPEN = 0.7 // of the best section's score
const LEAST_FOLDED = 0.3
const TEASER = 200 // characters
const LEAD = 40 // of them before the first match
const LONGEST_PASSAGE = 2000
const LONGEST_QUERY = 200
const MOST_NEAREST = 5
const SHORTEST_HIGHLIGHT = 3
const WORD = /[\p{L}\p{N}]+/gu

/** Answers queries on one ranking. */
export class Answers {
  constructor(ranking) {
    this.ranking = ranking
  }

  /** `items`: groups of a page and its sections; `suggest`: how the last word may end; `nearest`: if nothing was found. */
  answer(query) {
    const { found, matches, text } = this.ranking.search(query.slice(0, LONGEST_QUERY))
    const shown = found.slice(0, MOST_PAGES).filter(({ score }) => score >= LEAST_PAGE * found[0].score)
    const marks = new Marks(matches)
    return {
      items: shown.map((entry, rank) => this.group(entry, shown.length - rank, marks, matches)),
      suggest: this.ranking.vocabulary.completions(text ?? query),
      nearest: shown.length ? [] : this.nearest(query.slice(0, LONGEST_QUERY)),
    }
  }

  nearest(query) {
    const { vocabulary, docs } = this.ranking
    const places = vocabulary.nearestNames(query, MOST_NEAREST)
    return places.map(({ name, place }) => ({ location: docs[place].location, title: name }))
  }

  /**
   * A page and its sections. The dialog leaves open the sections that score no less than the first entry of the group,
   * folds the others, and on Enter opens the best score of the first group: the page or section that comes first here.
   */
  group(entry, rank, marks, matches) {
    const { page, parts, aboutAll } = entry
    const isSection = ({ id }) => this.ranking.anchors[id] !== ""
    const sections = parts.filter(isSection)
    const best = parts[0]?.score ?? 0
    const open = sections.filter(({ score }) => score >= LEAST_OPEN * best).slice(0, MOST_OPEN)
    const folded = sections.slice(open.length).filter(({ score }) => score >= LEAST_FOLDED * best).slice(0, MOST_FOLDED)
    const pageFirst = aboutAll || !open.length || !isSection(parts[0])
    const missing = matches.filter((_, i) => !entry.has[i]).map(({ word }) => word)
    const item = (part, score) => this.item(part, score, marks, missing)
    const pageItem = item({ id: this.ranking.pages[page], passage: -1 }, pageFirst ? rank : rank - 0.5)
    const shown = open.map((part) => item(part, rank))
    const rest = folded.map((part) => item(part, rank - 0.75))
    return pageFirst ? [pageItem, ...shown, ...rest] : [...shown, pageItem, ...rest]
  }

  item({ id, passage }, score, marks, missing) {
    const doc = this.ranking.docs[id]
    const used = new Set()
    const text = marks.mark(this.excerpt(doc, passage, marks), used)
    const title = marks.mark(doc.title, used)
    return { location: doc.location, title, text: text && `<p>${text}</p>`, score, terms: terms(used, missing) }
  }

  /** About TEASER characters of a document around the words that were matched. */
  excerpt(doc, passage, marks) {
    const { from, to } = this.ranking.passages[passage] ?? { from: 0, to: doc.text.length }
    const text = doc.text.slice(from, Math.min(to, from + LONGEST_PASSAGE))
    if (text.length <= TEASER) return text.trim()
    const start = text.lastIndexOf(" ", marks.densest(text) - 1) + 1
    const cut = text.indexOf(" ", start + TEASER)
    const piece = text.slice(start, cut < 0 ? text.length : cut).trim()
    return (start ? "… " : "") + piece + (cut < 0 ? "" : " …")
  }
}

/** Which words of a text a query matched. */
class Marks {
  constructor(matches) {
    this.wordOf = new Map(matches.flatMap(({ word, terms }) => terms.map(({ term }) => [term, word])))
  }

  /** The word of the query that a word of the text answers, or undefined. */
  of(text) {
    for (const word of words(text)) {
      const found = this.wordOf.get(stem(word)) ?? this.wordOf.get(word) ?? this.wordOf.get("~" + skeleton(word))
      if (found !== undefined) return found
    }
    return undefined
  }

  /** HTML with the matches marked; `used` gets the words of the text that are. */
  mark(text, used) {
    let html = "", end = 0
    for (const { 0: word, index } of text.matchAll(WORD)) {
      if (this.of(word) === undefined) continue
      used.add(word)
      html += escape(text.slice(end, index)) + `<mark>${escape(word)}</mark>`
      end = index + word.length
    }
    return html + escape(text.slice(end))
  }

  /** Where to begin an excerpt so that it shows the most words of the query. */
  densest(text) {
    const hits = [...text.matchAll(WORD)].flatMap(({ 0: word, index }) => {
      const found = this.of(word)
      return found === undefined ? [] : [{ index, found }]
    })
    let best = { index: 0, count: 0 }
    for (const { index } of hits) {
      const near = hits.filter((hit) => hit.index >= index && hit.index < index + TEASER - LEAD)
      const count = new Set(near.map(({ found }) => found)).size
      if (count > best.count) best = { index, count }
    }
    return best.index < LEAD ? 0 : best.index - LEAD
  }
}

/** The words that a page marks (true) and the words of the query that it lacks (false), as the dialog wants them. */
function terms(used, missing) {
  const entries = [...missing.map((word) => [word, false]), ...[...used].map((word) => [highlight(word), true])]
  return Object.fromEntries(entries)
}

/** What of a word all its forms on the page share. */
function highlight(word) {
  const [folded] = words(word)
  const base = stem(folded)
  return folded.startsWith(base) && base.length >= SHORTEST_HIGHLIGHT ? base : folded
}

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" }

function escape(text) {
  return text.replace(/[&<>"']/g, (sign) => ENTITIES[sign])
}
