// What the page knows. Views listen; only the functions here change it.
//
// `at` says for each filter which step is wanted: a number, or null for the newest ("live").
// `drawn` says which step is on its canvas. The number a view prints is always the one drawn.

const listeners = new Map()

export const state = {
  run: null, // of page.run, once pictures of it are drawn
  next: null, // of page.run, before its first picture
  status: null,
  kept: [], // ascending steps that have pictures
  knobs: [], // [step, name, value, label]
  pins: [], // {step, channel, note}; the channel is null for all filters
  revision: 0, // of the pictures: another one when steps were made anew
  selected: null,
  linked: true,
  at: new Map(),
  drawn: new Map(),
  scores: new Map(),
  badges: new Map(),
  stage: null, // {channel, step} on the large canvas
  pixelated: false,
}

/** Calls `listener` after each `emit(name)`. Names: run, meta, status, kept, pins, cursor, select, drawn, pixelated, compare, family. */
export function on(name, listener) {
  listeners.set(name, [...(listeners.get(name) ?? []), listener])
}

export function emit(name, detail) {
  for (const listener of listeners.get(name) ?? []) listener(detail)
}

export const latest = () => (state.kept.length ? state.kept[state.kept.length - 1] : null)

/** The step that is wanted for the selected filter: where the one cursor stands. */
export const cursor = () => state.at.get(state.selected) ?? latest()

export const isLive = () => (state.at.get(state.selected) ?? null) === null

/** Last step of the time line: the end of the plan, or of what was kept if that is further. */
export const horizon = () => Math.max(1, state.status?.run === state.run?.id ? (state.status?.steps ?? 1) : 1, latest() ?? 1)

/** Position in `kept` of the last step at or before `step` (0 at least). */
export function position(step) {
  let low = 0
  let high = state.kept.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (state.kept[middle] <= step) low = middle
    else high = middle - 1
  }
  return low
}

/** The kept step that is nearest to `step`. */
export function nearest(step) {
  if (!state.kept.length) return null
  const before = position(step)
  const after = Math.min(before + 1, state.kept.length - 1)
  return step - state.kept[before] <= state.kept[after] - step ? state.kept[before] : state.kept[after]
}

/** Shows `step` (null: live) of one filter, or of all of them when the sliders are linked. */
export function seek(step, channel = state.selected) {
  const wanted = step === null ? null : nearest(step)
  const channels = state.linked ? state.run?.channels ?? [] : [channel]
  for (const one of channels) state.at.set(one, wanted)
  emit("cursor", { channel, step: wanted })
}

/** Everything follows the run again. */
export function live() {
  for (const channel of state.run?.channels ?? []) state.at.set(channel, null)
  emit("cursor", { channel: state.selected, step: null })
}

/** Moves the cursor by kept steps. */
export function move(by) {
  if (!state.kept.length) return
  const now = cursor() ?? 0
  const target = position(now) + by
  if (target >= state.kept.length) return live()
  seek(state.kept[Math.max(0, target)])
}

export function select(channel, tell = true) {
  if (channel === state.selected || !state.run?.channels.includes(channel)) return
  state.selected = channel
  emit("select", { channel, tell })
}

/** The neighbour of the selected filter, in the order of the wall. */
export function neighbour(by) {
  const channels = state.run?.channels ?? []
  const index = channels.indexOf(state.selected)
  if (channels.length) select(channels[(index + by + channels.length) % channels.length])
}

export function link(on) {
  state.linked = on
  if (on) seek(state.at.get(state.selected) ?? null)
  emit("linked")
}

/** Begins to show a run: everything live, nothing drawn. */
export function adopt(run) {
  const index = state.run ? state.run.channels.indexOf(state.selected) : 0
  state.run = run
  state.next = null
  state.at = new Map(run.channels.map((channel) => [channel, null]))
  state.drawn = new Map()
  state.scores = new Map()
  state.badges = new Map()
  state.stage = null
  state.pins = []
  if (!run.channels.includes(state.selected)) state.selected = run.channels[Math.max(0, Math.min(index, run.channels.length - 1))]
  emit("run")
  emit("select", { channel: state.selected, tell: true })
}

/** Takes the kept steps that Python lists as [first, last, stride]. */
export function keep(spans, knobs, revision) {
  const steps = []
  for (const [first, last, stride] of spans) for (let step = first; step <= last; step += Math.max(1, stride)) steps.push(step)
  const newer = revision === state.revision ? state.kept.filter((step) => step > (steps[steps.length - 1] ?? -1)) : []
  state.revision = revision
  state.kept = steps.concat(newer) // a live picture may be ahead of the list
  state.knobs = knobs
  emit("kept")
}

/** Takes the pins [[step, channel or null, note]]. */
export function pinned(pins) {
  state.pins = pins.map(([step, channel, note]) => ({ step, channel, note }))
  emit("pins")
}

/** Step -> pin for those of a filter, and for those of all filters where it has none of its own. */
export function pinsOf(channel) {
  const found = new Map()
  for (const pin of state.pins) if (pin.channel === null && !found.has(pin.step)) found.set(pin.step, pin)
  for (const pin of state.pins) if (pin.channel === channel) found.set(pin.step, pin)
  return found
}

/** A live picture of `step` has come: it was kept. True if the run went back and later steps are void. */
export function arrived(step) {
  const last = latest()
  if (last === null || step > last) state.kept.push(step)
  if (last === null || step >= last) return false
  state.kept = [...state.kept.filter((one) => one < step), step]
  for (const [channel, wanted] of state.at) if (wanted > step) state.at.set(channel, null)
  for (const [channel, drawn] of state.drawn) if (drawn >= step) state.drawn.delete(channel)
  return true
}

/** A step that turned out not to be kept. */
export function forget(step) {
  state.kept = state.kept.filter((one) => one !== step)
  for (const [channel, wanted] of state.at) if (wanted === step) state.at.set(channel, nearest(step))
  emit("kept")
}

/** What a person calls the filter: its class where the objective is one. */
export function nameOf(channel, run = state.run) {
  const isClass = run && !run.layer && /^-?class/.test(run.objective ?? "")
  const chains = run?.spec?.chains ?? 1
  const target = Math.floor(channel / chains)
  const name = isClass && run.classes?.[target] ? run.classes[target] : String(target)
  return chains > 1 ? `${name} (${(channel % chains) + 1})` : name
}
