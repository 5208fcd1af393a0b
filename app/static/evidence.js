// Why to believe it: what the network says of the shown picture. Dimmed, and says so, when it is of another one.

import { byId, element, number, write } from "./text.js"
import { cursor, isLive, on, state } from "./state.js"

let told = null

export function start() {
  for (const name of ["drawn", "cursor", "select", "status"]) on(name, fresh)
}

/** Shows what Python has found out. */
export function take(evidence) {
  told = evidence
  fresh()
  if (evidence?.pending && byId("classes").children.length) return
  classes(evidence?.classes ?? [])
  maps(evidence?.maps ?? [])
}

function fresh() {
  const note = byId("evidence").querySelector(".fresh")
  if (!told) return write(note, "")
  const here = state.stage ?? { channel: state.selected, step: cursor() }
  const current = told.run === state.run?.id && told.channel === here.channel && told.step === here.step
  const near = isLive() && state.status?.state === "running" && told.channel === here.channel // live: it follows as it can
  const stale = told.error || (!current && !near) || (told.pending && !near)
  byId("evidence").classList.toggle("stale", Boolean(stale))
  write(note, told.error ? "not available" : told.pending && !near ? "computing …" : `step ${told.step}${current ? "" : ", earlier"}`)
  note.title = told.error ?? ""
}

function classes(rows) {
  const list = byId("classes")
  if (!rows.length) return list.replaceChildren(element("li", { class: "empty" }, "nothing yet"))
  list.replaceChildren(
    ...rows.map(([name, share]) => {
      const row = element("li", { title: `${name}: ${(100 * share).toFixed(1)} %` }, element("span", {}, String(name)), element("span", { class: "number" }, `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`))
      row.style.setProperty("--share", `${100 * share}%`)
      return row
    }),
  )
}

function maps(items) {
  byId("maps").replaceChildren(
    ...items.map(({ channel, url, peak }) => {
      const own = channel === told.channel
      const image = element("img", { alt: `Feature map ${channel}, peak ${number(peak)}`, title: `channel ${channel}, peak ${number(peak)}` })
      if (/^data:image\//.test(url)) image.src = url
      return element("figure", { class: own ? "own" : "" }, image, element("figcaption", {}, String(channel)))
    }),
  )
}
