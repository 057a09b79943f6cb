// Understanding: what the words of a query stand for in the index.

import { glued, spans } from "./phrases.js"
import { flip, isEmpty, telling, words } from "./text.js"

const MOST_WORDS = 12
// A query is read in the other keyboard layout only where that makes more sense.
const OTHER = 0.9 // what the other layout's sense counts for
const CLEAR = 0.9 // the sense of a word that is surely known
const BEGINS_CLEARLY = 0.5 // and of one that may be the beginning of a known word
// Signs stand on the keys of Russian letters: one right before a letter tells of the other layout.
const SIGN_IN_WORD = /[[\]{};':"<>,.~`](?=\p{L})/u

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
  return { text, matches, phrases, named: [...namesIn(all, list, vocabulary), ...begun] }
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

/** The longest names among the words of a query: their places, and how much of the query they are. */
function namesIn(all, list, vocabulary) {
  const found = spans(all).flatMap(({ from, to, gram }) => {
    const { places, likeness } = vocabulary.named(gram)
    const told = telling(gram).filter((word) => list.includes(word)).length
    const whole = likeness === 1 && gram.length === all.length
    return places ? [{ from, to, places, whole, share: likeness * Math.min(1, told / list.length) }] : []
  })
  return found.filter((a) => !found.some((b) => b !== a && b.from <= a.from && b.to >= a.to))
}
