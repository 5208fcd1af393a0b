// The page Ascent: what Python says goes to the views, what a person does goes back as intents.

import * as header from "./actions.js"
import * as compare from "./compare.js"
import * as evidence from "./evidence.js"
import * as exports from "./exports.js"
import * as filmstrip from "./filmstrip.js"
import * as frame from "./frame.js"
import { unpack } from "./frames.js"
import * as notices from "./notices.js"
import * as real from "./real.js"
import { failures, offer, open, pump, revise, rewind } from "./painter.js"
import * as stage from "./stage.js"
import { adopt, arrived, cursor, emit, isLive, keep, live, on, pinsOf, position, seek, select, state } from "./state.js"
import * as status from "./status.js"
import { byId, painted, throttle } from "./text.js"
import * as sweep from "./sweep.js"
import * as transport from "./transport.js"
import * as travel from "./travel.js"
import * as wall from "./wall.js"

let models = null
let ask = () => {}
let opening = null // step that an address asks for, until it is known which steps were kept

// What Python says -------------------------------------------------------------------------------------

const readers = {
  run: takeRun,
  status: takeStatus,
  kept: takeKept,
  evidence: evidence.take,
  real: real.known,
  natural: real.compared,
  shown: takeShown,
  presets: () => {},
  family: (family) => (travel.take(family), compare.offer(family?.near ?? [])),
  pins: filmstrip.take,
  against: compare.take,
  sweep: sweep.take,
}

export function take(name, text) {
  if (name === "address") return header.address(text)
  readers[name]?.(text ? JSON.parse(text) : null)
}

function takeRun(run) {
  if (!run || !run.id) return
  if (state.run?.id === run.id) {
    Object.assign(state.run, run)
    return emit("meta")
  }
  if (run.id !== state.next?.id) opening = null
  state.next = run
  wall.waiting(state.run !== null)
}

/** The announced run has a picture now: it replaces what was there, whose last picture is pinned. */
function begin() {
  filmstrip.remember()
  state.kept = []
  state.knobs = []
  open(state.next.id)
  adopt(state.next)
  wall.waiting(false)
}

function takeStatus(now) {
  const before = state.status?.state
  state.status = now
  emit("status")
  if (now?.state === "done" && before === "running") header.firstHint()
}

function takeKept(kept) {
  if (!kept) return
  if (kept.run === state.next?.id && kept.steps.length) begin()
  if (kept.run !== state.run?.id) return
  const { steps, knobs, revision = 0 } = kept
  revise(revision)
  keep(steps, knobs, revision)
  if (opening !== null && kept.steps.length) {
    travel.goTo(opening)
    opening = null
  }
  travel.arrived()
  void pump()
}

function takeShown(shown) {
  if (!shown) return
  if (shown.channel !== null) {
    if (state.run?.channels.includes(shown.channel)) select(shown.channel, false)
    else state.selected = shown.channel
  }
  if (shown.step !== null && (state.run === null || state.next !== null)) opening = shown.step
}

/** A live frame: decoded and drawn unless a newer one comes first, then acknowledged. */
export async function update(source, flow) {
  const sent = source.get_column("sent")?.[0] ?? 0
  try {
    const run = source.get_column("run")?.[0]
    const packed = source.get_column("packed")?.[0]
    if (packed?.length && (run === state.run?.id || run === state.next?.id)) {
      if (run === state.next?.id) begin()
      const frame = unpack(new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength))
      if (arrived(frame.step)) rewind(frame.step)
      offer(frame)
      await pump()
    }
  } finally {
    await painted()
    if (sent > flow.ack) flow.ack = sent
  }
}

// What a person does -----------------------------------------------------------------------------------

export const actions = {
  toggle: transport.primary,
  back: () => transport.step(-1),
  forward: () => transport.step(1),
  back10: () => transport.step(-10),
  forward10: () => transport.step(10),
  first: transport.first,
  live: transport.goLive,
  previous: () => byId("filter-previous").click(),
  next: () => byId("filter-next").click(),
  search: header.search,
  pin: filmstrip.pin,
  setb: compare.setB,
  fork: () => travel.fork(),
  sweep: () => byId("sweep").click(),
  png: () => byId("export-png").click(),
}
const scrub = throttle(100, () => ask(isLive() ? { do: "live" } : { do: "scrub", step: cursor(), channel: state.selected }))
const moveCursor = throttle(100, () => {
  if (models?.cursor && state.stage) models.cursor.location = state.stage.step
})
const sparks = throttle(200, () => {
  const column = (name) => Array.from(models.scores.get_column(name) ?? [])
  const [xs, ys, channel, color] = ["xs", "ys", "channel", "color"].map(column)
  wall.sparks(channel.map((one, i) => ({ channel: one, xs: xs[i], ys: ys[i], color: color[i] })))
})

export function start(send) {
  ask = send
  on("cursor", () => void pump().then(scrub)) // before all other listeners: the pictures are what is waited for
  header.start(ask)
  wall.start()
  stage.start()
  transport.start(ask)
  filmstrip.start(ask)
  compare.start(ask)
  travel.start(ask)
  sweep.start(ask)
  exports.start(ask)
  evidence.start()
  real.start()
  status.start()
  byId("linked").addEventListener("change", () => header.linkSliders(byId("linked").checked))
  on("select", ({ channel, tell }) => {
    if (tell) ask({ do: "select", channel })
    if (!isLive()) scrub()
    void pump()
  })
  on("drawn", () => void painted().then(moveCursor)) // the figure is slow to draw: after the pictures
  on("run", () => setTimeout(() => models && sparks()))
  for (const name of ["run", "select", "cursor"]) on(name, frame.place)
  failures(() => notices.show({ id: "history", kind: "error", message: "A picture of the history could not be read.", hint: "The last one that could stays.", action: { label: "Try again" } }, pump))
}

/** Bokeh's document is ready. */
export function ready(given) {
  models = given
  models.scores.properties.data.change.connect(sparks)
}

/** What the address says of this page. */
export const query = () => header.query() + compare.query()

/** Steps from outside, as a click into the curves. */
export const scrubTo = (step) => state.kept.length && (transport.halt(), seek(state.kept[position(step)]))
export { live }

/** More controls are about to be below the others: they come into sight. */
export async function advanced(on) {
  const box = byId("page-ascent").querySelector(".left")
  const before = box.scrollHeight
  await painted()
  if (on && box.scrollHeight > before) box.scrollTop = before - 3.5 * parseFloat(getComputedStyle(box).fontSize) // under the button
}

/** What is shown, for tests and the curious. */
export const told = () => ({
  run: state.run?.id ?? null,
  state: state.status?.state ?? null,
  step: state.status?.step ?? null,
  selected: state.selected,
  live: isLive(),
  cursor: cursor(),
  shown: state.stage?.step ?? null,
  stage: state.stage && { ...state.stage },
  linked: state.linked,
  kept: state.kept.length,
  steps: state.kept,
  revision: state.revision,
  latest: state.kept[state.kept.length - 1] ?? null,
  tiles: Object.fromEntries(state.drawn),
  pins: Object.fromEntries([...pinsOf(state.selected)].map(([step, pin]) => [step, pin.note])),
  allPins: state.pins.map((pin) => [pin.step, pin.channel, pin.note]),
  b: compare.told(),
  family: travel.told(),
  sweep: sweep.seen(),
  real: real.told(),
})
