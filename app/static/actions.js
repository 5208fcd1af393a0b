// Smaller parts of the page Ascent: its address, the search, the one hint.

import { keep, read } from "./keys.js"
import * as notices from "./notices.js"
import { place } from "./frame.js"
import { cursor, isLive, link, state } from "./state.js"
import { byId } from "./text.js"

let ask = () => {}
let base = "" // query of the run and its values, from Python

export function start(send) {
  ask = send
  byId("layer-previous").addEventListener("click", () => ask({ do: "layer", by: -1 }))
  byId("layer-next").addEventListener("click", () => ask({ do: "layer", by: 1 }))
}

/** Takes the query of the run and its values from Python. */
export function address(query) {
  base = query
  place()
}

/** What the address says: the run and its values from Python, then what is looked at. */
export function query() {
  let text = base
  if (state.run && new URLSearchParams(base).get("run") === state.run.id) {
    if (state.selected !== state.run.channels[0]) text += `&filter=${state.selected}`
    if (!isLive()) text += `&step=${cursor()}`
  }
  return text
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
