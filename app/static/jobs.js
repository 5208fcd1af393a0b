// Work that takes more than a moment: how far it is, and a button that gives it up.

import { byId, element, write } from "./text.js"

let ask = () => {}
const rows = new Map() // number -> {root, bar, count}

export const start = (send) => (ask = send)

/** Shows the work [{n, title, done, total}] that Python speaks of. */
export function show(works) {
  const wanted = new Set(works.map((work) => work.n))
  for (const [n, row] of rows) {
    if (wanted.has(n)) continue
    row.root.remove()
    rows.delete(n)
  }
  for (const work of works) {
    const row = rows.get(work.n) ?? make(work)
    if (work.total > 0) row.bar.value = work.done / work.total
    else row.bar.removeAttribute("value")
    write(row.count, work.total > 1 ? `${work.done} of ${work.total}` : "")
  }
}

function make({ n, title }) {
  const bar = element("progress", { max: 1, "aria-label": title })
  const count = element("span", { class: "muted number" })
  const cancel = element("button", { type: "button", class: "tool", "data-testid": "job-cancel", onclick: () => ask({ do: "cancel", job: n }) }, "Cancel")
  const root = element("div", { class: "job", "data-testid": "job", role: "status" }, element("span", { class: "cause" }, title), bar, count, cancel)
  byId("jobs").append(root)
  rows.set(n, { root, bar, count })
  return rows.get(n)
}
