// Notices: a cause, a remedy and a button, beside the last good picture. Everything is text, never markup.

import { byId, element } from "./text.js"

const MARKS = { error: "!", info: "i", hint: "i" }
const BRIEF = 7000 // milliseconds that a piece of information stays
let ask = () => {}

export const start = (send) => (ask = send)

/** Shows a notice {id, kind, title, message, hint, action}; one of the same id replaces the one before, "gone" removes it. */
export function show(notice, act = null) {
  remove(notice.id)
  if (notice.kind === "gone") return
  const { kind = "info", title, message, hint, action } = notice
  const fromPython = typeof notice.id === "number"
  const dismiss = () => {
    remove(notice.id)
    if (fromPython) ask({ do: "dismiss", id: notice.id })
  }
  const press = () => {
    const { label, ...intent } = action
    if (act) act()
    else ask(intent)
    dismiss()
  }
  const root = element(
    "div",
    { class: `notice ${kind === "error" ? "error" : "info"}`, role: kind === "error" ? "alert" : "status", "data-testid": "notice", "data-id": String(notice.id) },
    element("span", { class: "mark", "aria-hidden": "true" }, MARKS[kind] ?? "i"),
    element("span", { class: "cause" }, [title, message].filter(Boolean).join(": ")),
    action ? element("button", { type: "button", class: "tool act", "data-testid": "notice-action", onclick: press }, action.label) : null,
    element("button", { type: "button", class: "tool dismiss", "aria-label": "Dismiss", "data-testid": "notice-dismiss", onclick: dismiss }, "✕"),
    hint ? element("span", { class: "remedy" }, hint) : null,
  )
  byId("notices").append(root)
  while (byId("notices").children.length > 3) byId("notices").firstChild.remove()
  if (kind === "info" && !action) setTimeout(() => root.matches(":hover, :focus-within") || remove(notice.id), BRIEF)
}

export function remove(id) {
  for (const node of [...byId("notices").children]) if (node.dataset.id === String(id)) node.remove()
}

/** Python takes its notice back. */
export function clear() {
  for (const node of [...byId("notices").children]) if (/^\d+$/.test(node.dataset.id)) node.remove()
}
