// The export menu: what is on the stage, a film of its history, the curves, the run itself.

import { byId, write } from "./text.js"
import { latest, nameOf, on, state } from "./state.js"

let ask = () => {}

export function start(send) {
  ask = send
  byId("export-menu").addEventListener("click", (event) => event.target.closest("a, [data-form]") && byId("export-menu").hidePopover())
  byId("export-menu").addEventListener("toggle", (event) => event.newState === "open" && fill())
  for (const button of byId("export-menu").querySelectorAll("[data-form]")) button.addEventListener("click", () => send(wish(button.dataset.form)))
  for (const id of ["film-first", "film-last"]) byId(id).addEventListener("input", explain)
  on("drawn", addresses)
  on("select", addresses)
}

/** The menu's links always mean what is on the stage. */
function addresses() {
  if (!state.stage) return
  const { channel, step } = state.stage
  const run = encodeURIComponent(state.run.id)
  byId("export-png").href = `export/${run}/${step}/${channel}.png`
  byId("export-png").download = `vizcore-${nameOf(channel)}-${step}.png`
  byId("export-sheet").href = `export/${run}/${step}.png`
  byId("export-sheet").download = `vizcore-all-${step}.png`
  byId("export-recipe").href = `runs/${run}`
}

function fill() {
  const end = latest() ?? 0
  for (const id of ["film-first", "film-last"]) byId(id).max = end
  if (byId("film-last").value === "" || Number(byId("film-last").value) > end || !byId("film-last").dataset.touched) byId("film-last").value = end
  byId("film-fps").value ||= byId("fps").value
  write(byId("film-one-text"), `filter ${nameOf(state.selected)}`)
  explain()
}

const number = (id, otherwise) => (byId(id).value === "" ? otherwise : Math.max(0, Math.round(Number(byId(id).value)) || 0))

function explain(event) {
  if (event?.target.id === "film-last") event.target.dataset.touched = "1"
  const [first, last] = [number("film-first", 0), number("film-last", latest() ?? 0)]
  const count = state.kept.filter((step) => step >= first && step <= last).length
  write(byId("film-note"), count ? `${count} pictures` : "no pictures were kept in this range")
}

function wish(form) {
  const film = !["csv", "parquet", "archive"].includes(form)
  return {
    do: "export", form, run: state.run?.id ?? "",
    ...(film && {
      channel: byId("film-one").checked ? state.selected : undefined,
      first: number("film-first", 0), last: number("film-last", latest() ?? 0),
      fps: Math.min(30, Math.max(1, number("film-fps", 10))), loop: byId("film-loop").checked,
    }),
  }
}
