// The vocabulary of an index: its words and names, and what a word of a query may mean among them.

import SearchableMap from "minisearch/SearchableMap"
import { glued, heard } from "./phrases.js"
import { flip, fold, skeleton, stem, words } from "./text.js"

// How much of a word's weight a match is worth when it is not exact.
const WORTH = { surface: 0.5, sound: 0.6, soundToo: 0.1, split: 0.8, misspelt: 0.7, unfinished: 0.6 }
// How surely a word is known: in names and headings, in the text only, or by guessing.
const EXACT = { strong: 1, weak: 0.9 }
const GUESSED = { split: 0.7, misspelt: 0.6, sound: 0.5, unfinished: 0.5 }
const BEGUN = 0.5 // what a name is worth that the query only begins
const MOST_CORRECTIONS = 8
const MOST_ENDINGS = 12
const LONGEST_WORD = 24
const MOST_READINGS = 12 // words of a query for which the nearest names are looked up

/** All words and names of an index: which are there, and which of them are spelt or sound like another. */
export class Vocabulary {
  constructor() {
    // Keys of names → places, the best first: as written, by stems, by sound.
    this.names = new Map()
    this.inflected = new Map()
    this.alike = new Map()
    this.spelt = new Map() // the first of those keys → the name as the glossary has it
    this.core = new Set() // tokens of the pages' titles and of the examiners' wording
    this.strong = new Set() // these and tokens of names and headings
    this.weak = new Set() // stems of the text
    this.memo = new Map()
    this.written = [] // names and titles, folded: what a query may become
  }

  addName(name, list, places) {
    this.written.push(fold(name))
    this.spelt.set(list.join(""), name)
    const [written, inflected = written] = glued(list)
    add(this.names, written, places)
    add(this.inflected, inflected, places)
    if (heard(list)) add(this.alike, heard(list), places)
  }

  addCore(tokens) {
    for (const token of tokens) this.core.add(token)
    this.addStrong(tokens)
  }

  addStrong(tokens) {
    for (const token of tokens) this.strong.add(token)
  }

  addText(stems) {
    for (const stem of stems) this.weak.add(stem)
  }

  finish() {
    this.strongTree = tree([...this.strong].filter((term) => !term.startsWith("~")))
    this.weakTree = tree([...this.weak].filter((term) => !this.strong.has(term)))
    this.nameTree = tree(this.names.keys())
  }

  /** The names spelt most like a query in which nothing was understood: `{name, place}`. */
  nearestNames(query, most) {
    const list = words(query).slice(0, MOST_READINGS)
    const readings = [list.join(""), words(flip(query)).join(""), ...list]
    const fit = readings.filter(({ length }) => length > 3 && length < LONGEST_WORD)
    const best = new Map()
    for (const key of fit.flatMap((reading) => nearest(this.nameTree, reading, Math.min(4, reading.length / 3)))) {
      const place = this.names.get(key)[0]
      if (this.spelt.has(key) && !best.has(place)) best.set(place, { name: this.spelt.get(key), place })
    }
    return [...best.values()].slice(0, most)
  }

  /** The names that begin like a query, the shortest first, folded. */
  beginning(query) {
    const typed = fold(query).trimStart()
    if (typed.length < 3) return []
    const isLonger = (name) => name.startsWith(typed) && name.length > typed.length
    return this.remember(typed + "|", () => this.written.filter(isLonger).sort((a, b) => a.length - b.length))
  }

  /** What an unfinished query is likely to name: places as of a name that is spelt out, but for less. */
  begun(query) {
    return this.beginning(query)
      .slice(0, 3)
      .map((name) => ({ places: this.named(words(name)).places, share: BEGUN }))
      .filter(({ places }) => places)
  }

  /** How the last word of a query goes on in the shortest name that begins like the query. */
  completions(query) {
    const last = query.split(/[\s-]+/).at(-1)
    const [name] = last && last === fold(last) ? this.beginning(query) : []
    return name ? [name.slice(fold(query).trimStart().length - last.length)] : []
  }

  remember(key, make) {
    let value = this.memo.get(key)
    if (value === undefined) this.memo.set(key, (value = make()))
    return value
  }

  /** The places that a run of words names: exactly, by its sound, or but for a mistake in spelling. */
  named(gram) {
    return this.remember(gram.join(" ") + " ", () => {
      const [written, inflected = written] = glued(gram)
      const found = [
        { places: this.names.get(written), likeness: 1 },
        { places: this.inflected.get(inflected), likeness: 0.95 },
        { places: this.alike.get(heard(gram)), likeness: 0.9 },
      ]
      return found.find(({ places }) => places) ?? { places: this.misspeltName(gram), likeness: 0.8 }
    })
  }

  misspeltName(gram) {
    const name = gram.join("")
    if (name.length < 7 || gram.length > 4) return undefined
    return this.names.get(nearest(this.nameTree, name, name.length < 9 ? 1 : 2)[0])
  }

  /** The index terms that a word of a query stands for: `{word, terms: [{term, weight}], quality}`. */
  expand(word, unfinished) {
    return this.remember(word + (unfinished ? "*" : ""), () => this.look(word, unfinished))
  }

  look(word, unfinished) {
    const base = stem(word)
    const terms = new Map()
    const put = (term, weight) => terms.set(term, Math.max(terms.get(term) ?? 0, weight))
    let quality = this.exact(word, base)
    if (quality) put(base, 1)
    if (this.strong.has(word) && word !== base) put(word, WORTH.surface)
    const sound = "~" + skeleton(word)
    if (word.length > 3 && this.strong.has(sound)) {
      put(sound, quality ? WORTH.soundToo : WORTH.sound)
      quality ||= GUESSED.sound
    }
    const ends = unfinished && word.length > 1 ? this.finished(word) : []
    for (const { term, weight } of ends) put(term, weight * WORTH.unfinished)
    if (ends.length) quality ||= GUESSED.unfinished
    const guess = (kind, found) => {
      for (const term of found) put(term, WORTH[kind])
      if (found.length) quality = Math.max(quality, GUESSED[kind])
    }
    if (quality < EXACT.weak) guess("split", this.splits(word))
    if (quality < EXACT.weak && !(unfinished && quality === GUESSED.unfinished)) guess("misspelt", this.corrections(word))
    const core = this.core.has(base) || this.core.has(word)
    return { word, terms: [...terms].map(([term, weight]) => ({ term, weight })), quality, core }
  }

  /** How surely the index has the word as it is, or its stem; 0 if it has neither. */
  exact(word, base) {
    if (this.strong.has(base) || this.strong.has(word)) return EXACT.strong
    return this.weak.has(base) ? EXACT.weak : 0
  }

  /** The known words nearest to one that is not known. */
  corrections(word) {
    const edits = word.length < 4 ? 0 : word.length < 8 ? 1 : 2
    if (!edits) return []
    const swapped = [...swaps(word)].find((variant) => this.strong.has(variant) || this.strong.has(stem(variant)))
    if (swapped) return [stem(swapped), swapped]
    const found = near(this.strongTree, word, edits)
    return found.length || stem(word).length < 6 ? found : near(this.weakTree, stem(word), 1)
  }

  /** The known words that begin like this one, the shortest first: `{term, weight}`. */
  finished(word) {
    return [...this.strongTree.atPrefix(word).keys()]
      .sort((a, b) => a.length - b.length)
      .slice(0, MOST_ENDINGS)
      .map((term) => ({ term, weight: word.length / (word.length + 0.3 * (term.length - word.length)) }))
  }

  /** The words that were written together, if all of them are known: their stems, or nothing. */
  splits(word) {
    const ways = [[]] // the fewest words that make up the first letters
    for (let end = 3; end <= word.length; end++) {
      for (let start = Math.max(0, end - LONGEST_WORD); start <= end - 3; start++) {
        const part = stem(word.slice(start, end))
        if (!ways[start] || part.length < 3 || !this.strong.has(part)) continue
        if (ways[start].length + 1 < (ways[end]?.length ?? Infinity)) ways[end] = [...ways[start], part]
      }
    }
    return ways[word.length] ?? []
  }
}

function add(map, key, places) {
  map.set(key, [...(map.get(key) ?? []), ...places])
}

function tree(keys) {
  const map = new SearchableMap()
  for (const key of keys) map.set(key, true)
  return map
}

/** The keys of a tree within some edits of a word, the nearest first. */
function nearest(map, word, edits) {
  return [...map.fuzzyGet(word, Math.floor(edits))].sort(([, [, a]], [, [, b]]) => a - b).map(([key]) => key)
}

/** The words of a tree that are as near to a misspelt one as the nearest of them. */
function near(map, word, edits) {
  const found = [...map.fuzzyGet(word, edits)].map(([key, [, distance]]) => ({ key, distance }))
  const least = Math.min(...found.map(({ distance }) => distance))
  return found
    .filter(({ key, distance }) => distance === least && key.length > 3 && (word.length > 5 || key[0] === word[0]))
    .slice(0, MOST_CORRECTIONS)
    .map(({ key }) => key)
}

/** The word with two neighbouring letters exchanged. */
function* swaps(word) {
  for (let i = 0; i + 1 < word.length; i++) {
    if (word[i] !== word[i + 1]) yield word.slice(0, i) + word[i + 1] + word[i] + word.slice(i + 2)
  }
}
