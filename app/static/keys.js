// Keys: Python's one table makes the handler and the help.

import { byId, element, write } from "./text.js"

const NAMES = { ArrowLeft: "←", ArrowRight: "→", "Shift+ArrowLeft": "Shift ←", "Shift+ArrowRight": "Shift →", Escape: "Esc" }
const WRITES = "input:not([type=range],[type=checkbox],[type=radio],[type=button]), select, textarea, [contenteditable]"
const MOVES = /^(Arrow|Home|End|Page)/
let table = []
let shown = () => ""

/** `perform(row)` carries an action out; `page()` is the one shown. */
export function start(perform, page) {
  shown = page
  const enabled = byId("keys-on")
  enabled.checked = read("vizcore.keys") !== "off"
  enabled.addEventListener("change", () => keep("vizcore.keys", enabled.checked ? "on" : "off"))
  byId("keys").addEventListener("click", help)
  byId("help").addEventListener("click", (event) => event.target === byId("help") && byId("help").close())
  document.addEventListener("click", release)
  window.addEventListener("keydown", (event) => {
    const row = enabled.checked && wanted(event)
    if (!row) return
    event.preventDefault()
    perform(row)
  })
}

export function take(rows) {
  table = rows
  const groups = new Map()
  for (const row of rows) groups.set(row.group, [...(groups.get(row.group) ?? []), row])
  byId("help-groups").replaceChildren(
    ...[...groups].map(([name, group]) =>
      element("section", {}, element("h2", {}, name), element("dl", {}, ...group.flatMap((row) => [
        element("dt", {}, ...row.keys.map((key) => element("kbd", {}, NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key)))),
        element("dd", {}, row.help),
      ]))),
    ),
  )
}

export function help() {
  if (byId("help").open) return byId("help").close()
  const tab = byId(`tab-${shown()}`)
  write(byId("help-page"), `${tab.textContent.trim()}:`)
  write(byId("help-about"), tab.title)
  byId("help").showModal()
}

/** The row that a key press means here, if any. */
function wanted(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return null
  const path = event.composedPath().filter((node) => node instanceof Element)
  if (document.querySelector("dialog[open]:not(#help)")) return null
  if (byId("help").open) return event.key === "?" ? match(event) : null
  if (path.some((node) => node.matches(WRITES))) return null
  const focus = path[0]
  if (event.key === " " && focus?.closest("button, summary, a, input, [role=button], [role=switch], [role=tab]")) return null
  if (MOVES.test(event.key) && focus?.matches("[role=slider], [role=tab], [role=radio], input")) return null
  if (event.key === "Escape" && document.querySelector(":popover-open")) return null
  return match(event)
}

function match(event) {
  const key = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toLowerCase() : event.key
  const full = event.shiftKey && key.length > 1 ? `Shift+${key}` : key
  return table.find((row) => row.keys.includes(full) && (!row.page || row.page === shown())) ?? null
}

/** A button pressed with the mouse gives the focus back, so that Space means the run and not the button again. */
function release(event) {
  const pressed = event.composedPath().find((node) => node instanceof Element && node.matches?.("button, [role=switch]"))
  if (event.detail > 0 && pressed && !pressed.closest("dialog")) pressed.blur()
}

export function read(name) {
  try {
    return localStorage.getItem(name)
  } catch {
    return null
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem(name, value)
  } catch {
    // a private window: the choice lasts as long as the page
  }
}
