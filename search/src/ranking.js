// Ranking: which pages answer a query, and which of their sections.
//
// A page is judged by three MiniSearch indexes: of whole pages, of the headings and names of sections, and of passages,
// short enough for words that stand together to count. Names of the glossary that the query spells out come on top.

import MiniSearch from "minisearch"
import { strongTokens } from "./phrases.js"
import { stem, words } from "./text.js"
import { understand } from "./understanding.js"
import { Vocabulary } from "./vocabulary.js"

// Tuned on the queries of tests/search/queries.yml that are not set aside.
export const WEIGHTS = {
  page: { title: 4, names: 7.27, also: 3.86, headings: 2, text: 1 },
  head: { title: 4.46, names: 8.92, also: 0.9 },
  passage: { asked: 0.48, text: 1 },
  k: 1.26, b: 1.4, // of BM25
  together: 2.24, // how much worse a text is that has only some of the words
  // the page's words; its title and wording; the best section's two scores
  own: 0.29, subject: 0.5, heading: 0.45, best: 0.45,
  // a name in the query; the whole query a name
  named: 2, second: 1.12, shareNamed: 2.15, whole: 0.7,
  apart: 1.03, // words that few sections of the page have, when its sections are put in order
  parts: { sources: 0.5, "follow-ups": 0.78, plan: 0.6, answer: 0.46, mistakes: 0.19 },
}
const LEAST_COVERED = 0.3
const LONGEST_WEIGHT = 6
const PASSAGE = 70 // words
const SENTENCE = /.+?(?:[.?!…](?=\s+[«"A-ZА-ЯЁ\d…(])|$)\s*/gsu

/**
 * Searches one index: `docs` as Material writes them, pages and sections in one list, and `terms` of the glossary, each
 * with its names and the numbers of the documents that explain it. Here a "part" is any document, the page itself too.
 */
export class Ranking {
  constructor({ docs, terms }) {
    this.docs = docs
    this.anchors = docs.map(({ location }) => location.split("#")[1] ?? "")
    this.pages = [...docs.keys()].filter((id) => !this.anchors[id])
    const numbers = new Map(this.pages.map((id, page) => [docs[id].location, page]))
    this.pageOf = docs.map(({ location }) => numbers.get(location.split("#")[0]))
    this.vocabulary = new Vocabulary()
    this.readTerms(terms)
    this.index()
    this.vocabulary.finish()
  }

  readTerms(terms) {
    this.names = this.docs.map(() => []) // tokens by part: of the terms that it explains best
    this.also = this.docs.map(() => []) // and of the others
    for (const { names, places } of terms) {
      for (const name of names) {
        const list = words(name)
        const tokens = strongTokens(list)
        this.vocabulary.addName(name, list, places)
        this.vocabulary.addStrong(tokens)
        for (const place of places) {
          const field = this.pageOf[place] === this.pageOf[places[0]] ? this.names : this.also
          field[place].push(...tokens)
        }
      }
    }
  }

  index() {
    this.pageIndex = tokenIndex(WEIGHTS.page)
    this.headIndex = tokenIndex(WEIGHTS.head)
    this.passageIndex = tokenIndex(WEIGHTS.passage)
    this.passages = [] // part, and where in its text
    this.subjects = [] // tokens of the title and of the examiners' wording, by page
    const fields = this.pages.map(() => ({ title: [], names: [], also: [], headings: [], text: [] }))
    this.docs.forEach((_, id) => this.indexPart(id, fields[this.pageOf[id]]))
    fields.forEach((page, id) => this.pageIndex.add({ id, ...page }))
    this.frequency = new Map() // token → pages that have it
    for (const tokens of fields.map((page) => new Set(Object.values(page).flat()))) {
      for (const token of tokens) this.frequency.set(token, (this.frequency.get(token) ?? 0) + 1)
    }
  }

  indexPart(id, page) {
    const { title, text } = this.docs[id]
    const heading = strongTokens(words(title))
    const wording = this.anchors[id] ? [] : strongTokens(words(text))
    if (this.anchors[id]) this.vocabulary.addStrong(heading)
    else this.vocabulary.addCore([...heading, ...wording])
    this.headIndex.add({ id, title: heading, names: this.names[id], also: this.also[id] })
    page.names.push(...this.names[id])
    page.also.push(...this.also[id])
    if (this.anchors[id]) page.headings.push(...heading)
    else {
      page.title = heading
      page.headings.push(...wording)
      this.subjects[this.pageOf[id]] = new Set([...heading, ...wording])
    }
    for (const token of this.indexPassages(id, text)) page.text.push(token)
  }

  /** All tokens of the text. */
  indexPassages(part, text) {
    return [...passages(text)].flatMap(({ from, to, asked }) => {
      const tokens = words(text.slice(from, to)).map(stem)
      this.vocabulary.addText(tokens)
      const id = this.passages.push({ part, from, to }) - 1
      this.passageIndex.add({ id, asked: words(asked).map(stem), text: tokens })
      return tokens
    })
  }

  /**
   * `found`: pages, the best first, each `{page, score, has, aboutAll, parts: [{id, score, passage}]}`; `matches`: the
   * words of the query and the terms they stand for; `text`: the query as it was understood.
   */
  search(query) {
    const { text, matches, phrases, named } = understand(query, this.vocabulary)
    if (!isAboutSomething(matches, named)) return { found: [], matches, text }
    const importance = matches.map((match) => this.rarity(match))
    const queries = [...matches.map(({ terms }) => alternatives(terms)), alternatives(phrases)]
    const tree = { combineWith: "OR", queries }
    const judge = (index, boost, weight) => scores(index, boost, tree, matches, importance, weight)
    const parts = this.judgeParts(judge, bonuses(named), matches)
    return { found: this.judgePages(judge, parts, matches, importance), matches, text }
  }

  rarity({ terms }) {
    const pages = Math.max(1, ...terms.map(({ term }) => this.frequency.get(term) ?? 0))
    return Math.log(1 + this.pages.length / pages)
  }

  judgeParts(judge, bonus, matches) {
    const heads = judge(this.headIndex, WEIGHTS.head, (id) => this.partWeight(id))
    const passages = judge(this.passageIndex, WEIGHTS.passage, (id) => this.partWeight(this.passages[id].part))
    const nothing = { score: 0, has: matches.map(() => false) }
    const best = new Map() // the best passage of a part
    for (const [passage, entry] of passages) {
      const { part } = this.passages[passage]
      if (entry.score > (best.get(part)?.score ?? 0)) best.set(part, { ...entry, passage })
    }
    return [...new Set([...heads.keys(), ...best.keys(), ...bonus.keys()])].map((id) => {
      const head = heads.get(id) ?? nothing
      const said = best.get(id) ?? { ...nothing, passage: -1 }
      const score = WEIGHTS.heading * head.score + WEIGHTS.best * said.score + (bonus.get(id) ?? 0)
      const has = said.has.map((there, i) => there || head.has[i])
      return { id, score, passage: said.passage, named: bonus.has(id), has }
    })
  }

  judgePages(judge, parts, matches, importance) {
    const pages = judge(this.pageIndex, WEIGHTS.page, (page) => this.pageWeight(page))
    const found = [...pages].map(([page, { score, has }]) => {
      const own = parts.filter(({ id }) => this.pageOf[id] === page)
      const best = Math.max(0, ...own.map((part) => part.score))
      const asked = matches.map(({ terms }) => terms.some(({ term }) => this.subjects[page].has(term)))
      const subject = share(asked, importance)
      const total = this.pageWeight(page) * (WEIGHTS.own * score + WEIGHTS.subject * subject + best)
      const ordered = this.order(own, matches)
      return { page, score: total, has, aboutAll: subject === 1 && !ordered[0]?.named, parts: ordered }
    })
    return found.sort((a, b) => b.score - a.score)
  }

  /** Within a page the words that tell its sections apart decide: those that few of them have. */
  order(parts, matches) {
    const having = matches.map((_, i) => parts.filter(({ has }) => has[i]).length)
    const rarity = having.map((count) => Math.log(1 + parts.length / Math.max(1, count)))
    const apart = ({ id, has }) => WEIGHTS.apart * share(has, rarity) * this.partWeight(id)
    return parts.map((part) => ({ ...part, score: part.score + apart(part) })).sort((a, b) => b.score - a.score)
  }

  pageWeight(page) {
    return this.docs[this.pages[page]].boost ?? 1
  }

  partWeight(id) {
    return this.pageWeight(this.pageOf[id]) * (WEIGHTS.parts[this.anchors[id]] ?? 1)
  }
}

/** An index whose fields are lists of tokens. */
function tokenIndex(boost) {
  const asIs = (tokens) => tokens
  return new MiniSearch({ fields: Object.keys(boost), tokenize: asIs, processTerm: asIs, stringifyField: asIs })
}

/** Scores by document, the best one 1, and which of the query's words each has: `{score, has}`. */
function scores(index, boost, tree, matches, importance, weight) {
  const options = { boost, bm25: { k: WEIGHTS.k, b: WEIGHTS.b, d: 0.5 }, tokenize: (term) => [term] }
  const found = index.search(tree, options).map(({ id, score, queryTerms }) => {
    const there = new Set(queryTerms)
    const has = matches.map(({ terms }) => terms.some(({ term }) => there.has(term)))
    return { id, has, score: score * weight(id) * share(has, importance) ** WEIGHTS.together }
  })
  const best = Math.max(...found.map(({ score }) => score))
  return new Map(found.map(({ id, has, score }) => [id, { has, score: score / best }]))
}

function alternatives(terms) {
  const weights = new Map(terms.map(({ term, weight }) => [term, weight]))
  return { combineWith: "OR", queries: [...weights.keys()], boostTerm: (term) => weights.get(term) }
}

/** What the names that the query spells out add to the places that explain them. */
function bonuses(named) {
  const bonus = new Map()
  for (const { places, share, whole } of named) {
    places.forEach((place, rank) => {
      const value = (rank ? WEIGHTS.second : WEIGHTS.named) * share ** WEIGHTS.shareNamed + (whole ? WEIGHTS.whole : 0)
      bonus.set(place, Math.max(bonus.get(place) ?? 0, value))
    })
  }
  return bonus
}

/** What part of all `weights` belongs to the words that are there. */
function share(has, weights) {
  const sum = (list) => list.reduce((total, weight) => total + weight, 0)
  return sum(weights.filter((_, i) => has[i])) / sum(weights)
}

/** Whether enough of a query is known; with an unknown word in it, the others have to name something or stand in a title. */
function isAboutSomething(matches, named) {
  const weights = matches.map(({ word }) => Math.min(word.length, LONGEST_WEIGHT))
  const known = matches.reduce((sum, { quality }, i) => sum + weights[i] * quality, 0)
  const enough = known > 0 && known >= LEAST_COVERED * weights.reduce((sum, weight) => sum + weight, 0)
  return enough && (named.length > 0 || matches.every(({ quality }) => quality) || matches.some(({ core }) => core))
}

/** Pieces of a text of about PASSAGE words that begin with a sentence; a question begins a piece of its own. */
export function* passages(text) {
  let piece = { from: 0, to: 0, asked: "" }
  let count = 0
  for (const sentence of text.match(SENTENCE) ?? []) {
    const isQuestion = sentence.trimEnd().endsWith("?")
    if (count && (isQuestion || count >= PASSAGE)) {
      yield piece
      piece = { from: piece.to, to: piece.to, asked: "" }
      count = 0
    }
    if (isQuestion) piece.asked += sentence
    piece.to += sentence.length
    count += sentence.split(" ").length
  }
  if (count) yield piece
}
