// One pump brings every canvas to the step that is wanted of it. Whatever arrives meanwhile replaces what was
// wanted before, so nothing queues: not while dragging, not when pictures come faster than they can be drawn.

import { Frames } from "./frames.js"
import { emit, forget, latest, state } from "./state.js"

let frames = null
let pumping = null
let again = false
let broken = false
let onFailure = () => {}

/** Says where a failed fetch is told. */
export const failures = (listener) => (onFailure = listener)

/** Pictures of another run from now on. */
export function open(run) {
  frames?.clear()
  frames = new Frames(run)
  broken = false
}

/** Keeps a live frame for the next pump. */
export function offer(frame) {
  frames.put(frame)
}

/** The run went back to `step`: what was kept from there on is made anew. */
export function rewind(step) {
  frames.drop(step)
  if (state.stage?.step >= step) state.stage = null
}

/** Takes the revision of the run's pictures; another one voids what is drawn. */
export function revise(revision) {
  if (!frames?.revise(revision)) return
  state.drawn.clear()
  state.stage = null
}

/** Brings the canvases up to date; the promise is kept when they are. */
export function pump() {
  again = true
  pumping ??= work().finally(() => (pumping = null))
  return pumping
}

async function work() {
  while (again) {
    again = false
    const source = frames
    for (const [step, channels] of due()) {
      try {
        await paint(source, step, channels)
        broken = false
      } catch (error) {
        if (source === frames && !broken) onFailure(error)
        broken = true // said once; the last pictures stay
        return
      }
      if (source !== frames) break
    }
  }
}

/** What is behind: Map step -> channels. */
function due() {
  const steps = new Map()
  const newest = latest()
  for (const channel of state.run?.channels ?? []) {
    const step = state.at.get(channel) ?? newest
    const stale = state.drawn.get(channel) !== step
    const stage = channel === state.selected && (state.stage?.channel !== channel || state.stage.step !== step)
    if (step !== null && (stale || stage)) steps.set(step, [...(steps.get(step) ?? []), channel])
  }
  return steps
}

async function paint(source, step, channels) {
  source.hush()
  const frame = await source.get(step)
  if (source !== frames) return
  if (frame === null) return missing(step)
  const pictures = await source.bitmaps(frame, channels)
  if (source !== frames || frame.closed) return
  if (!pictures.size) return missing(step)
  emit("paint", { step, pictures })
  for (const [channel, { score, status }] of pictures) {
    state.drawn.set(channel, step)
    state.scores.set(channel, score)
    state.badges.set(channel, status)
    if (channel === state.selected) state.stage = { channel, step }
  }
  emit("drawn", { step, channels: [...pictures.keys()] })
}

function missing(step) {
  forget(step)
  again = state.kept.length > 0
}

/** Makes the kept neighbours of the cursor ready. */
export function prefetch(steps) {
  if (frames && steps.length) void frames.prefetch(steps, state.linked ? state.run.channels : [state.selected])
}

/** One decoded picture, for the filmstrip. */
export async function picture(step, channel) {
  const source = frames
  const frame = await source?.get(step)
  if (!frame || source !== frames) return null
  return (await source.bitmaps(frame, [channel])).get(channel)?.bitmap ?? null
}
