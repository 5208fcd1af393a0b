// The chosen run of the Library: larger, its facts, its note, and what can be done with it.

import { byId, bytes, element } from "./text.js"
import { titleOf } from "./arrange.js"
import { ago, thumbnail } from "./shelf.js"

let shown = null // id
let act = {}

/** `actions`: open(id), annotate(id, changes), choose(id). */
export const start = (actions) => (act = actions)

/** Shows a run, or none; a note that is being written stays. */
export function show(run, runs) {
  const pane = byId("library-detail")
  if (!run) {
    shown = null
    return pane.replaceChildren(element("p", { class: "empty" }, runs.length ? "Choose a run." : ""))
  }
  if (shown === run.id && pane.contains(document.activeElement) && document.activeElement.matches("textarea, input")) return
  shown = run.id
  const note = element("textarea", { rows: 3, maxLength: 2000, placeholder: "Note", "aria-label": "Note", "data-testid": "library-note" })
  note.value = run.note
  note.addEventListener("change", () => act.annotate(run.id, { note: note.value }))
  const pin = element("button", { type: "button", class: "tool", "aria-pressed": String(run.pinned), "data-testid": "library-pin", onclick: () => act.annotate(run.id, { pinned: !run.pinned }) }, run.pinned ? "Pinned" : "Pin")
  pin.title = "A pinned run is never named when room is needed"
  const open = element("button", { type: "button", class: "primary", "data-testid": "library-open", onclick: () => act.open(run.id) }, "Open")
  pane.replaceChildren(
    element("img", { class: "large", alt: `The first filters of ${titleOf(run)}`, src: thumbnail(run) }),
    element("h2", {}, titleOf(run)),
    element("div", { class: "bar buttons" }, open, pin),
    note,
    facts(run, runs),
  )
}

function facts(run, runs) {
  const parent = runs.find((one) => one.id === run.parent?.[0])
  const forks = runs.filter((one) => one.parent?.[0] === run.id)
  const link = (one, text) => element("button", { type: "button", class: "link", onclick: () => act.choose(one.id, true) }, text)
  const rows = [
    ["Network", run.model],
    ["Layer", run.layer || "–"],
    ["Filters", run.filters],
    ["Preset", run.preset],
    ["Size", run.size ? `${run.size} px` : ""],
    ["Steps", `${run.steps}, ${run.state}`],
    ["On disk", bytes(run.bytes)],
    ["Made", `${new Date(run.created).toLocaleString()} (${ago(run.created)})`],
    run.parent && ["Fork of", parent ? link(parent, `${titleOf(parent)}, step ${run.parent[1]}`) : `a run that is gone, step ${run.parent[1]}`],
    forks.length && ["Forks", element("span", { class: "links" }, ...forks.map((one) => link(one, `at step ${one.parent[1]}`)))],
    ["Id", element("code", {}, run.id)],
  ]
  return element("dl", { class: "facts" }, ...rows.filter((row) => row && row[1]).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]))
}
