// The engine's two lives: a worker that speaks Material's protocol, and, where there are no workers, a global object.

import { Ranking } from "./ranking.js"
import { Answers } from "./results.js"

const FAILED = -1
const [SETUP, READY, QUERY, RESULT] = [0, 1, 2, 3]

const create = (index) => new Answers(new Ranking(index))

async function load(data) {
  if (data.docs) return data
  const response = await fetch(data.url)
  if (!response.ok) throw new Error(`${data.url}: ${response.status}`)
  return response.json()
}

function serve() {
  let answers
  const on = {
    async [SETUP](data) {
      answers = create(await load(data))
      postMessage({ type: READY })
    },
    [QUERY](query) {
      postMessage({ type: RESULT, data: answers.answer(query) })
    },
  }
  addEventListener("message", async ({ data: { type, data } }) => {
    try {
      await on[type](data)
    } catch (error) {
      postMessage({ type: FAILED, data: String(error) })
    }
  })
}

if (typeof importScripts === "function") serve()
else globalThis.SearchEngine = { create }
