// The chosen run of the Library: larger, its facts, its note, and what can be done with it.

import { byId, element, space } from "./text.js"
import { titleOf } from "./arrange.js"
import { ago, thumbnail } from "./shelf.js"

let shown = null // id
let forks = 0 // that show its pictures
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
  const field = (tag, name, limit, extra = {}) => {
    const made = element(tag, { maxLength: limit, placeholder: name, "aria-label": name, "data-testid": `library-${name.toLowerCase()}`, autocomplete: "off", ...extra })
    made.value = run[name.toLowerCase()] ?? ""
    made.addEventListener("change", () => act.annotate(run.id, { [name.toLowerCase()]: made.value }))
    made.addEventListener("keydown", (event) => event.key === "Enter" && tag === "input" && made.blur())
    return made
  }
  const button = (text, name, title, press, kind = "tool") => element("button", { type: "button", class: kind, title, "data-testid": `library-${name}`, onclick: press }, text)
  forks = runs.filter((one) => one.fork && one.parent?.[0] === run.id).length
  pane.replaceChildren(
    element("img", { class: "large", alt: `The first filters of ${titleOf(run)}`, src: thumbnail(run) }),
    field("input", "Name", 120, { type: "text", placeholder: titleOf({ ...run, name: "" }) }),
    element(
      "div", { class: "bar buttons" },
      button("Open", "open", "Show this run (Enter)", () => act.open(run.id), "primary"),
      button(run.pinned ? "Pinned" : "Pin", "pin", "A pinned run is never named when room is needed", () => act.annotate(run.id, { pinned: !run.pinned })),
      button("Compare", "compare", "Lay it beside the run on the page Ascent, as B", () => act.compare(run.id)),
      button("Archive", "archive", "Save the run as a file that another machine opens", () => act.save(run.id)),
      button("Delete", "delete", "Into the trash (Delete)", () => remove(run.id), "tool danger"),
    ),
    field("textarea", "Note", 2000, { rows: 3 }),
    facts(run, runs),
  )
  pane.querySelector("[data-testid=library-pin]").setAttribute("aria-pressed", String(run.pinned))
}

/** Into the trash; a run that has forks asks about them first. */
export function remove(id) {
  if (!forks) return act.remove(id, false)
  const pane = byId("library-detail")
  pane.querySelector(".question")?.remove()
  const question = element(
    "div", { class: "question", role: "alert" }, `${forks === 1 ? "A fork shows" : `${forks} forks show`} pictures of this run.`,
    element("div", { class: "bar" },
      element("button", { type: "button", class: "tool danger", "data-testid": "library-delete-all", onclick: () => act.remove(id, true) }, "Delete them too"),
      element("button", { type: "button", class: "tool", onclick: () => question.remove() }, "Keep")),
  )
  pane.querySelector(".buttons").after(question)
}

function facts(run, runs) {
  const parent = runs.find((one) => one.id === run.parent?.[0])
  const below = runs.filter((one) => one.parent?.[0] === run.id)
  const link = (one, text) => element("button", { type: "button", class: "link", onclick: () => act.choose(one.id, true) }, text)
  const rows = [
    ["Network", run.model],
    ["Layer", run.layer || "–"],
    ["Filters", run.filters],
    ["Objective", run.objective !== "channel" ? run.objective : ""],
    ["Preset", run.preset],
    ["Size", run.size ? `${run.size} px` : ""],
    ["Seed", String(run.seed)],
    run.sweep && ["Sweep", run.sweep],
    ["Steps", `${run.steps}, ${run.state}`],
    ["On disk", space(run.bytes)],
    ["Made", `${new Date(run.created).toLocaleString()} (${ago(run.created)})`],
    run.parent && ["Fork of", parent ? link(parent, `${titleOf(parent)}, step ${run.parent[1]}`) : `a run that is gone, step ${run.parent[1]}`],
    below.length && ["Forks", element("span", { class: "links" }, ...below.map((one) => link(one, `at step ${one.parent[1]}`)))],
    ["Id", element("code", {}, run.id)],
  ]
  return element("dl", { class: "facts" }, ...rows.filter((row) => row && row[1]).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]))
}
