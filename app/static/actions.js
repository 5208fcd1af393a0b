// What the header does, and the few things that the page says by itself.

import { keep, read } from "./keys.js"
import * as notices from "./notices.js"
import { connection } from "./status.js"
import { cursor, emit, isLive, link, nameOf, on, state } from "./state.js"
import { byId, throttle } from "./text.js"

let ask = () => {}
let gone = false
let base = "" // query of the run and its values, from Python

export function start(send) {
  ask = send
  byId("share").addEventListener("click", share)
  byId("theme").addEventListener("click", toggleTheme)
  byId("layer-previous").addEventListener("click", () => ask({ do: "layer", by: -1 }))
  byId("layer-next").addEventListener("click", () => ask({ do: "layer", by: 1 }))
  byId("export-menu").addEventListener("click", () => byId("export-menu").hidePopover())
  on("drawn", addresses)
  on("select", addresses)
  for (const name of ["run", "select", "cursor"]) on(name, place)
}

/** The address of this page: the run and its values from Python, then what is looked at. */
export function address(query) {
  base = query
  place()
}

function write() {
  let query = base
  if (state.run && new URLSearchParams(base).get("run") === state.run.id) {
    if (state.selected !== state.run.channels[0]) query += `&filter=${state.selected}`
    if (!isLive()) query += `&step=${cursor()}`
  }
  history.replaceState(null, "", query ? `?${query}` : location.pathname)
}
const place = throttle(500, write) // browsers allow some 100 changes in half a minute

/** The menu's links always mean what is on the stage. */
function addresses() {
  if (!state.stage) return
  const { channel, step } = state.stage
  const run = encodeURIComponent(state.run.id)
  byId("export-png").href = `export/${run}/${step}/${channel}.png`
  byId("export-png").download = `vizcore-${nameOf(channel)}-${step}.png`
  byId("export-recipe").href = `runs/${run}`
}

export async function share() {
  write()
  const text = location.href
  try {
    await navigator.clipboard.writeText(text)
    notices.show({ id: "link", kind: "info", message: "Link copied", hint: "It opens this run, this filter and this step." })
  } catch {
    notices.show({ id: "link", kind: "hint", message: "Copy this link", hint: text }) // pages without https may not write
  }
}

export function toggleTheme() {
  const theme = document.documentElement.dataset.theme === "light" ? "dark" : "light"
  document.documentElement.dataset.theme = theme
  keep("vizcore.theme", theme)
  emit("theme")
  ask({ do: "theme", name: theme })
}

export const linkSliders = (on) => link(on)

/** Puts the cursor into the layer's field, which lives in a shadow root. */
export function search() {
  const find = (root) => {
    const host = root.querySelector("[data-testid=control-layer]")
    if (host) return host
    for (const node of root.querySelectorAll("*")) {
      const found = node.shadowRoot && find(node.shadowRoot)
      if (found) return found
    }
    return null
  }
  const input = find(document)?.shadowRoot?.querySelector("input, select")
  input?.focus()
  input?.select?.()
}

/** The one hint, when a run is first seen to its end. */
export function firstHint() {
  if (read("vizcore.hint")) return
  keep("vizcore.hint", "seen")
  notices.show({ id: "hint", kind: "hint", message: "Every step was kept", hint: "Drag a slider or press ← to look back, ▶ to replay. Turn any knob: the run answers at once." })
}

/** The server is away: say so, ask until it is back, then begin anew from the address. */
export function lost() {
  if (gone) return
  gone = true
  connection("lost")
  notices.show({ id: "lost", kind: "error", message: "The connection to the server is lost", hint: "What you see stays. The page comes back by itself when the server does.", action: { label: "Try now" } }, () => location.reload())
  let wait = 500
  const poll = async () => {
    const back = await fetch("healthz", { cache: "no-store" }).then((answer) => answer.ok, () => false)
    if (back) return location.reload()
    wait = Math.min(5000, wait * 1.5)
    setTimeout(poll, wait)
  }
  setTimeout(poll, wait)
}
