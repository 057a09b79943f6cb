// Understanding: what the words of a query stand for in the index.

import SearchableMap from "minisearch/SearchableMap"
import { glued, heard, spans } from "./phrases.js"
import { flip, fold, isEmpty, skeleton, stem, telling, words } from "./text.js"

// How much of a word's weight a match is worth when it is not exact.
const WORTH = { surface: 0.5, sound: 0.6, soundToo: 0.1, split: 0.8, misspelt: 0.7, unfinished: 0.6 }
// How surely a word is known: in names and headings, in the text only, or by guessing.
const EXACT = { strong: 1, weak: 0.9 }
const GUESSED = { split: 0.7, misspelt: 0.6, sound: 0.5, unfinished: 0.5 }
const MOST_CORRECTIONS = 8
const MOST_ENDINGS = 12
// A query is read in the other keyboard layout only where that makes more sense.
const OTHER = 0.9
const CLEAR = 0.9
const BEGINS_CLEARLY = 0.5
const LONGEST_WORD = 24
const MOST_WORDS = 12
// Signs stand on the keys of Russian letters: one right before a letter tells of the other layout.
const SIGN_IN_WORD = /[[\]{};':"<>,.~`](?=\p{L})/u
const BEGUN = 0.5

/** The query's words with the index terms they stand for, its phrases, and the names that it spells out. */
export function understand(query, vocabulary) {
  const text = reading(query, vocabulary)
  const all = words(text).slice(0, 2 * MOST_WORDS)
  const list = telling(all).slice(0, MOST_WORDS)
  const unfinished = /[\p{L}\p{N}]$/u.test(text) ? list.at(-1) : null
  const matches = list.map((word) => vocabulary.expand(word, word === unfinished))
  const phrases = spans(list)
    .filter(({ gram }) => gram.length > 1)
    .flatMap(({ gram }) => glued(gram).filter((key) => vocabulary.strong.has(key)))
    .map((term) => ({ term, weight: 1 }))
  const begun = unfinished ? vocabulary.begun(text) : []
  return { text, matches, phrases, named: [...named(all, list, vocabulary), ...begun] }
}

/** The query as typed or, where its words make sense only so, as the other keyboard layout gives it. */
function reading(query, vocabulary) {
  const chunks = query.split(/(\s+)/)
  const mixed = chunks.map((chunk) => (isOtherLayout(chunk, vocabulary) ? flip(chunk) : chunk)).join("")
  const readings = [
    [query, sense(query, vocabulary) * (SIGN_IN_WORD.test(query) ? OTHER ** 2 : 1)],
    [flip(query), sense(flip(query), vocabulary, BEGINS_CLEARLY) * OTHER],
    [mixed, mixed === query ? 0 : sense(mixed, vocabulary) * OTHER],
  ]
  return readings.reduce((best, other) => (other[1] > best[1] ? other : best))[0]
}

/** Whether a piece between spaces means nothing as it is and is one known word in the other layout. */
function isOtherLayout(chunk, vocabulary) {
  const flipped = words(flip(chunk))
  if (flipped.length !== 1 || flipped[0].length < 3) return false
  return sense(flip(chunk), vocabulary, CLEAR) > 0 && sense(chunk, vocabulary) < CLEAR
}

/** How much of a text is known, from 0 to 2; 0 if any of its words is known less than `least`. */
function sense(text, vocabulary, least = 0) {
  const list = words(text)
  if (!list.length) return 0
  const [written, inflected = written] = glued(list)
  if (vocabulary.names.has(written) || (inflected.length > 3 && vocabulary.inflected.has(inflected))) return 2
  const values = list.map((word, i) => (isEmpty(word) ? 1 : vocabulary.expand(word, i === list.length - 1).quality))
  return Math.min(...values) < least ? 0 : values.reduce((sum, value) => sum + value, 0) / list.length
}

function named(all, list, vocabulary) {
  const found = spans(all).flatMap(({ from, to, gram }) => {
    const { places, likeness } = vocabulary.named(gram)
    const told = telling(gram).filter((word) => list.includes(word)).length
    const whole = likeness === 1 && gram.length === all.length
    return places ? [{ from, to, places, whole, share: likeness * Math.min(1, told / list.length) }] : []
  })
  return found.filter((a) => !found.some((b) => b !== a && b.from <= a.from && b.to >= a.to))
}

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
    const list = words(query).slice(0, MOST_WORDS)
    const readings = [list.join(""), words(flip(query)).join(""), ...list].filter(({ length }) => length > 3 && length < LONGEST_WORD)
    const best = new Map()
    for (const key of readings.flatMap((reading) => nearest(this.nameTree, reading, Math.min(4, reading.length / 3)))) {
      const place = this.names.get(key)[0]
      if (this.spelt.has(key) && !best.has(place)) best.set(place, { name: this.spelt.get(key), place })
    }
    return [...best.values()].slice(0, most)
  }

  /** The names that begin like a query, the shortest first, folded. */
  beginning(query) {
    const typed = fold(query).trimStart()
    if (typed.length < 3) return []
    return this.remember(typed + "|", () =>
      this.written.filter((name) => name.startsWith(typed) && name.length > typed.length).sort((a, b) => a.length - b.length))
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
    const terms = new Map()
    const put = (term, weight) => terms.set(term, Math.max(terms.get(term) ?? 0, weight))
    const base = stem(word)
    const sound = "~" + skeleton(word)
    let quality = this.strong.has(base) || this.strong.has(word) ? EXACT.strong : this.weak.has(base) ? EXACT.weak : 0
    if (quality) put(base, 1)
    if (this.strong.has(word) && word !== base) put(word, WORTH.surface)
    if (word.length > 3 && this.strong.has(sound)) {
      put(sound, quality ? WORTH.soundToo : WORTH.sound)
      quality ||= GUESSED.sound
    }
    const guess = (kind, found) => {
      for (const term of found) put(term, WORTH[kind])
      if (found.length) quality = Math.max(quality, GUESSED[kind])
    }
    if (unfinished && word.length > 1) {
      const ends = this.finished(word)
      for (const { term, weight } of ends) put(term, weight * WORTH.unfinished)
      if (ends.length) quality ||= GUESSED.unfinished
    }
    if (quality < EXACT.weak) guess("split", this.splits(word))
    if (quality < EXACT.weak && !(unfinished && quality === GUESSED.unfinished)) guess("misspelt", this.misspelt(word))
    const core = this.core.has(base) || this.core.has(word)
    return { word, terms: [...terms].map(([term, weight]) => ({ term, weight })), quality, core }
  }

  /** The known words nearest to one that is not known. */
  misspelt(word) {
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
        if (ways[start] && part.length > 2 && this.strong.has(part) && ways[start].length + 1 < (ways[end]?.length ?? Infinity)) {
          ways[end] = [...ways[start], part]
        }
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
