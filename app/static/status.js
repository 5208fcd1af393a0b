// The footer and the right of the header: what the run does, in words, and the same for those who listen.

import { byId, bytes, ranges, seconds, space, throttle, write } from "./text.js"
import { nameOf, on, state } from "./state.js"

const WORDS = {
  loading: "Loading", running: "Running", paused: "Paused", resting: "Resting", done: "Done", failed: "Failed",
  interrupted: "Interrupted", none: "Ready", lost: "Connection lost",
}
let said = ""

export function start() {
  on("status", show)
  on("run", crumbs)
  on("meta", crumbs)
  on("kept", show)
}

function show() {
  const now = state.status
  if (!now) return
  sign(now.state)
  write(byId("status-step"), now.step === null || now.step === undefined ? "" : `step ${now.step}/${now.steps}`)
  write(byId("status-rate"), now.rate && now.state === "running" ? `${now.rate < 10 ? now.rate.toFixed(1) : Math.round(now.rate)} steps/s` : "")
  write(byId("status-eta"), now.state === "running" && now.eta ? `ETA ${seconds(now.eta)}` : now.state === "done" && now.seconds ? `took ${seconds(now.seconds)}` : "")
  write(byId("status-memory"), bytes(now.memory))
  disk(now.disk)
  const knob = state.knobs[state.knobs.length - 1]
  const note = now.error?.message ?? now.note ?? ""
  write(byId("status-note"), note || (knob ? `${knob[3] ?? knob[1]} at step ${knob[0]}` : ""))
  for (const name of ["machine", "status-machine"]) write(byId(name), [now.device, now.precision].filter(Boolean).join(" · "))
  announce(now)
}

/** What the run takes of its share of the disk; the library's in the tooltip. */
function disk(now) {
  const node = byId("status-disk")
  write(node, now ? `${space(now.run)} of ${space(now.limit)}` : "")
  if (!now) return
  const stride = now.stride > 1 ? ` Pictures of every ${now.stride}th step are kept.` : ""
  const library = now.library === undefined ? "" : ` All runs: ${space(now.library)} of ${space(now.library_limit)} (VIZCORE_LIBRARY_MIB).`
  node.title = `Disk: this run has ${space(now.run)} of ${space(now.limit)} (VIZCORE_RUN_MIB).${stride}${library}`
}

/** The state as a sign and a word. */
export function sign(name) {
  byId("state").dataset.state = name
  write(byId("state-word"), WORDS[name] ?? name)
}

/** Each change of state is said at once, progress every ten seconds. */
function announce(now) {
  if (said !== now.state) {
    said = now.state
    write(byId("announcer"), `${WORDS[now.state] ?? now.state}, step ${now.step ?? 0} of ${now.steps}. ${now.error?.message ?? ""}`)
  } else progress(now)
}
const progress = throttle(10000, (now) => now.state === "running" && write(byId("announcer"), `Step ${now.step} of ${now.steps}`))

function crumbs() {
  const { title, model, layer, channels, objective } = state.run
  write(byId("crumb-model"), title || model)
  byId("crumb-model").title = title || model
  write(byId("crumb-layer"), layer || "output")
  const names = channels.length > 4 ? "" : channels.map((channel) => nameOf(channel)).join(", ")
  write(byId("crumb-filters"), names || ranges(channels))
  byId("crumb-filters").title = objective ?? ""
}

/** The dot in the header; its form changes with its colour. */
export function connection(name) {
  const words = { waiting: "Connecting", on: "Connected", lost: "Connection lost" }
  Object.assign(byId("connection"), { title: words[name], ariaLabel: words[name] })
  byId("connection").dataset.state = name
  if (name === "lost") {
    sign("lost")
    said = ""
    write(byId("announcer"), words.lost)
  }
}
