// Words: how text is cut into them, and the ways in which one word may be typed.

import { stemmer as russianStem } from "@orama/stemmers/russian"
import { stemmer as englishStem } from "@orama/stemmers/english"

const WORD = /[\p{L}\p{N}]+/gu
const CYRILLIC = /[а-я]/
const LATIN = /[a-z]/

// Words that questions are made of and that tell nothing about their subject.
const EMPTY = new Set(
  ("а без бы был была было быть в вам вас во вот все всё где да для до его ее если есть же за и из или им их к как какая " +
    "какие какой каким какого какую когда кто ли между мне можно на надо не него нее нет ни них но ну о об он она они оно от " +
    "по под почему при про с со такое такой так там те тем то того тоже только тот у уже чего чем через что чтобы чье эта " +
    "эти это этого этой этот зачем откуда сколько нужен нужна нужно нужны " +
    "the a an of for to in on is are do does how why what when which vs versus and or with from by it its not").split(" "),
)
// Verbs of examiners: they count only if nothing else is left.
const ASKING = new Set(
  ("отличается отличаются отличие отличия отличить разница сравнить сравнение сравните объясните объяснить расскажите " +
    "рассказать опишите описать назовите приведите пример примеры выведите докажите работает работают устроен устроена " +
    "устроено бывает бывают делать делает лучше хуже значит нужен difference between explain work works").split(" "),
)

/** Lower case, ё as е, no accents on Latin letters, one sign of multiplication. */
export function fold(text) {
  return text
    .normalize("NFKC")
    .toLowerCase()
    .replaceAll("ё", "е")
    .replace(/\u0301/g, "")
    .replace(/[\u00c0-\u024f]/g, (letter) => letter.normalize("NFD")[0])
    .replace(/(\d)\s?(?:×|\*|х|x| на )\s?(?=\d)/g, "$1x")
}

/** The words of a text, folded. */
export function words(text) {
  return (fold(text).match(WORD) ?? []).flatMap(oneScript)
}

// «GANы» and «bertом» are Latin words with Russian endings; «сnn» begins with a Cyrillic letter that looks Latin.
const LOOKALIKES = { а: "a", в: "b", с: "c", е: "e", н: "h", к: "k", м: "m", о: "o", р: "p", т: "t", х: "x", у: "y" }

function oneScript(word) {
  if (!CYRILLIC.test(word) || !LATIN.test(word)) return [word]
  const ending = word.match(/^([a-z0-9]{2,})[а-я]{1,3}$/)
  if (ending) return [ending[1]]
  const foreign = word.match(/[а-я]/g)
  if (foreign.length < 3 && foreign.every((letter) => letter in LOOKALIKES)) {
    return [word.replace(/[а-я]/g, (letter) => LOOKALIKES[letter])]
  }
  return word.match(/[a-z0-9]+|[а-я]+/g)
}

/** What is left of the words of a query when those that tell nothing are taken away; all of them if nothing is left. */
export function telling(list) {
  const some = list.filter((word) => !EMPTY.has(word))
  const subject = some.filter((word) => !ASKING.has(word))
  return subject.length ? subject : some.length ? some : list
}

export const isEmpty = (word) => EMPTY.has(word) || ASKING.has(word)

const stems = new Map()

export function stem(word) {
  let found = stems.get(word)
  if (found === undefined) {
    found = CYRILLIC.test(word) ? russianStem(word) : LATIN.test(word) ? englishStem(word) : word
    stems.set(word, found)
  }
  return found
}

// What Latin letters sound like in Russian, the longest first.
const SOUNDS = [
  ["tion", "шн"], ["sion", "шн"], ["sch", "ш"], ["tch", "ч"], ["ture", "чр"],
  ["sh", "ш"], ["ch", "ч"], ["ck", "к"], ["ph", "ф"], ["th", "т"], ["qu", "кв"], ["gh", "г"], ["wh", "в"], ["ng", "нг"],
  ["ce", "с"], ["ci", "с"], ["cy", "с"], ["ge", "дж"], ["gi", "дж"],
  ["b", "б"], ["c", "к"], ["d", "д"], ["f", "ф"], ["g", "г"], ["h", "х"], ["j", "дж"], ["k", "к"], ["l", "л"], ["m", "м"],
  ["n", "н"], ["p", "п"], ["q", "к"], ["r", "р"], ["s", "с"], ["t", "т"], ["v", "в"], ["w", "в"], ["x", "кс"], ["z", "з"],
]
const SOUND = new RegExp(SOUNDS.map(([latin]) => latin).join("|"), "g")
const SOUND_OF = Object.fromEntries(SOUNDS)
const SHORTEST_SKELETON = 3
const LONGEST_OF_THREE = 5 // letters of a word with three consonants; the vowels of a longer one count for more
const VOWELS = /[аеиоуыэюяaeiouy]+/g

/**
 * The consonants of a word as a Russian hears them, after a mark for a vowel that it begins with: attention and «аттеншн»
 * are both «*тншн». Three consonants tell too little, the number of syllables is added. "" if fewer are left.
 */
export function skeleton(word) {
  const spoken = word.replace(/([^aeiouy])e$/, "$1")
  const heard = LATIN.test(spoken) ? spoken.replace(SOUND, (letters) => SOUND_OF[letters]) : spoken
  const consonants = heard.replace(/[^бвгджзклмнпрстфхцчшщ]/g, "").replace(/з/g, "с").replace(/(.)\1+/g, "$1")
  const fewest = word.length > LONGEST_OF_THREE ? SHORTEST_SKELETON + 1 : SHORTEST_SKELETON
  if (consonants.length < fewest) return ""
  const start = /^[аеиоуыэюяaeiouy]/.test(word) ? "*" : ""
  const syllables = consonants.length === SHORTEST_SKELETON ? (spoken.match(VOWELS) ?? []).length : ""
  return start + consonants + syllables
}

const ENGLISH_KEYS = "`qwertyuiop[]asdfghjkl;'zxcvbnm,.~QWERTYUIOP{}ASDFGHJKL:\"ZXCVBNM<>"
const RUSSIAN_KEYS = "ёйцукенгшщзхъфывапролджэячсмитьбюЁЙЦУКЕНГШЩЗХЪФЫВАПРОЛДЖЭЯЧСМИТЬБЮ"
const FLIP = new Map([...ENGLISH_KEYS].flatMap((key, i) => [[key, RUSSIAN_KEYS[i]], [RUSSIAN_KEYS[i], key]]))

/** The text as the same keys give it in the other keyboard layout; flipping twice gives the text again. */
export function flip(text) {
  return text.replace(/./gsu, (letter) => FLIP.get(letter) ?? letter)
}
