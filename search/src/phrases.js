// Several words as one key: how names are found again however they are spaced, inflected or spelt.

import { skeleton, stem } from "./text.js"

export const LONGEST_PHRASE = 6 // words

/** The tokens of a title or a name: stems, words as they are, how they sound, and all of them written together. */
export function strongTokens(list) {
  const tokens = new Set()
  for (const word of list) {
    tokens.add(stem(word)).add(word)
    const sound = skeleton(word)
    if (sound) tokens.add("~" + sound)
  }
  if (list.length > 1 && list.length <= LONGEST_PHRASE) glued(list).forEach((key) => tokens.add(key))
  return [...tokens]
}

/** Words written together: as they are, and their stems. */
export function glued(list) {
  return [...new Set([list.join(""), list.map(stem).join("")])]
}

/** How words written together sound; "" if too little is left to tell. */
export function heard(list) {
  const sound = list.map((word) => skeleton(word) || word).join("")
  return sound.length < 4 ? "" : "~" + sound
}

/** All runs of neighbouring words, up to the longest phrase. */
export function spans(list) {
  const found = []
  for (let from = 0; from < list.length; from++) {
    for (let to = from + 1; to <= Math.min(list.length, from + LONGEST_PHRASE); to++) {
      found.push({ from, to, gram: list.slice(from, to) })
    }
  }
  return found
}
