// Leaving the shown line of time: forks, their marks on the time line, and steps that have to be computed again.

import { byId, element, write } from "./text.js"
import { cursor, emit, horizon, isLive, latest, nameOf, on, seek, state } from "./state.js"

let ask = () => {}
let family = { forks: [], near: [] }
let awaited = null // step that is being computed again

export function start(send) {
  ask = send
  byId("fork-all").addEventListener("click", () => fork())
  byId("fork-one").addEventListener("click", () => fork(state.selected))
  byId("fork-menu").addEventListener("toggle", name)
  byId("goto-form").addEventListener("submit", (event) => {
    event.preventDefault()
    byId("goto-menu").hidePopover()
    const step = Math.round(Number(byId("goto-step").value))
    if (byId("goto-step").value !== "" && step >= 0) goTo(step)
  })
  // The value is there before the field is: who types at once is not overtaken by it.
  byId("goto-menu").addEventListener("beforetoggle", (event) => event.newState === "open" && asked())
  byId("goto-menu").addEventListener("toggle", (event) => event.newState === "open" && (byId("goto-step").focus(), byId("goto-step").select()))
  byId("goto-step").addEventListener("input", explain)
  for (const name of ["cursor", "select", "run", "meta", "kept", "status"]) on(name, marks)
  new ResizeObserver(marks).observe(byId("marks"))
}

/** Leaves at the shown step, with all filters or with one. */
export function fork(channel = null) {
  if (byId("fork-menu").matches(":popover-open")) byId("fork-menu").hidePopover()
  const step = state.stage?.step ?? cursor()
  if (!state.run || step === null) return
  const [now, reseed] = ["fork-now", "fork-seed"].map((id) => byId(id).checked)
  const others = [...byId("fork-menu").querySelectorAll("[data-setting]")].filter((field) => field.value.trim() !== "")
  const settings = Object.fromEntries(others.map((field) => [field.dataset.setting, field.value.trim()]))
  for (const field of others) field.value = "" // said once: F alone must not mean them again
  ask({ do: "fork", step, channel: channel ?? undefined, now, reseed, settings })
}

function name() {
  const step = state.stage?.step ?? cursor()
  write(byId("fork-all-text"), `All filters from step ${step}`)
  write(byId("fork-one-text"), `Only filter ${nameOf(state.selected)}`)
}

/** Shows a step, computing it again if its pictures were not kept. */
export function goTo(step) {
  const end = latest()
  if (end === null) return
  if (step >= end) return seek(end)
  if (state.kept.includes(step)) return seek(step)
  awaited = { run: state.run.id, step }
  ask({ do: "recompute", step })
}

/** The kept steps are others: the awaited one may be there. */
export function arrived() {
  if (awaited?.run !== state.run?.id) awaited = null
  if (!awaited || !state.kept.includes(awaited.step)) return
  seek(awaited.step)
  awaited = null
}

function asked() {
  const field = byId("goto-step")
  Object.assign(field, { max: String(latest() ?? 0), value: String(cursor() ?? 0) })
  explain()
}

function explain() {
  const step = Number(byId("goto-step").value)
  const end = latest() ?? 0
  const kept = state.kept.includes(step)
  write(byId("goto-note"), step > end ? `The run is at step ${end}.` : kept ? "" : "Its pictures were not kept: it is computed again.")
}

export function take(told) {
  family = told ?? { forks: [], near: [] }
  marks()
  emit("family", family)
}

/** Buttons over the time line: where this run left its parent, and where forks left it. */
function marks() {
  const run = state.run
  const box = byId("marks")
  const wanted = []
  if (run?.root && run.parent) wanted.push([run.root, "root", run.parent[0], `Step ${run.root}: here this run left its parent. Opens the parent.`])
  if (run && family.run === run.id) for (const [step, id] of family.forks) wanted.push([step, "branch", id, `A fork left at step ${step}. Opens it.`])
  const key = JSON.stringify([wanted, horizon(), box.clientWidth])
  if (box.dataset.key === key) return
  box.dataset.key = key
  const made = wanted.map(([step, kind, id, title]) => {
    const button = element("button", { type: "button", class: `junction ${kind}`, title, "aria-label": title, "data-testid": `junction-${kind}`, onclick: () => ask({ do: "open", run: id, step, channel: state.selected }) })
    button.style.left = `${(100 * step) / horizon()}%`
    return button
  })
  box.replaceChildren(...made)
  byId("page").style.setProperty("--root", run?.root ? `${(100 * run.root) / horizon()}%` : "0%")
}

export const told = () => ({ forks: family.run === state.run?.id ? family.forks : [], root: state.run?.root ?? 0, live: isLive() })
