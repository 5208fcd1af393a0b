// Questions about a picture or weights to the engine (app/looking.py), and what is told when there is no answer.

import * as notices from "./notices.js"
import { unpack } from "./colours.js"
import { element } from "./text.js"

const request = (what, fields, blob, signal) => fetch(`look/${what}?${new URLSearchParams(fields)}`, { method: "POST", body: blob ?? new Blob(), signal, headers: { "Content-Type": "application/octet-stream" } })

/** The answer to a question; throws {kind, message, hint} where there is none. */
export async function post(what, fields, blob, signal) {
  const answer = await request(what, fields, blob, signal)
  if (answer.ok && answer.headers.get("Content-Type") !== "application/json") return unpack(await answer.arrayBuffer())
  throw await wrong(answer)
}

/** As `post`, for what answers in lines: `progress` is told each line but the last, which is the answer. */
export async function follow(what, fields, blob, signal, progress) {
  const answer = await request(what, fields, blob, signal)
  if (!answer.ok) throw await wrong(answer)
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ""
  for (;;) {
    const { value, done } = await reader.read()
    if (done) break
    const lines = (rest + value).split("\n")
    rest = lines.pop()
    for (const line of lines) progress(JSON.parse(line))
  }
  const told = JSON.parse(rest)
  if (told.kind) throw Object.assign(new Error(), told)
  return told
}

async function wrong(answer) {
  if (answer.ok) return Object.assign(new Error(), await answer.json())
  if (answer.status === 413) return Object.assign(new Error(), { kind: "PictureError", message: "The picture is too large a file.", hint: "Choose one of at most 32 MiB." })
  return Object.assign(new Error(), { message: "The server did not take the picture.", hint: answer.statusText })
}

/** Says what is wrong and what helps; a connection that is lost throws errors of the browser. */
export const complain = (id, error, again) =>
  notices.show({ id, kind: "error", message: error.kind || error.hint !== undefined ? error.message : "The server does not answer.", hint: error.hint ?? "Check the connection; the last view stays.", action: again ? { label: "Try again" } : null }, again)

/** Fills a list of networks, under headings. */
export function offer(select, groups, chosen) {
  const group = ([heading, names]) => element("optgroup", { label: heading }, ...names.map((name) => element("option", { value: name }, plain(name))))
  select.replaceChildren(...Object.entries(groups).map(group))
  if (chosen) choose(select, chosen)
}

/** The name of a network; of a weights file without its folder. */
export const plain = (name) => name.split(/[/\\]/).pop()

/** Chooses an entry, which is added if the list has it not. */
export function choose(select, value, text = plain(value)) {
  if (![...select.options].some((option) => option.value === value)) select.append(element("option", { value }, text))
  select.value = value
}
