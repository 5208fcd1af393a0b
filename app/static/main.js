// Joins the pages to Bokeh's models: what Python says goes to the page it is for, what a person does goes back.
// The protocol is described in app/pages/page.py and app/session.py. A page is a module in this table.

import * as ascent from "./ascent.js"
import * as atlas from "./atlas.js"
import * as dreams from "./dreams.js"
import * as files from "./files.js"
import * as frame from "./frame.js"
import * as generators from "./generators.js"
import * as image from "./image.js"
import { lost, share, toggleTheme } from "./header.js"
import * as jobs from "./jobs.js"
import * as keys from "./keys.js"
import * as library from "./library.js"
import * as networks from "./networks.js"
import * as notices from "./notices.js"
import * as patches from "./patches.js"
import * as popover from "./popover.js"
import { connection } from "./status.js"
import { byId } from "./text.js"
import * as training from "./training.js"
import * as weights from "./weights.js"

const pages = { ascent, image, patches, weights, dreams, generators, networks, training, atlas, library }
const actions = { link: share, theme: () => toggleTheme(ask), help: keys.help } // of every page
let models = null
let count = 0

/** Tells Python what a person wants. */
function ask(intent) {
  if (models) models.ask.intent = JSON.stringify({ n: ++count, ...intent })
}

const readers = {
  notice: (text) => (text ? notices.show(JSON.parse(text)) : notices.clear()),
  fetch: (text) => text && files.fetchIt(JSON.parse(text)),
  lead: (text) => text && frame.go(JSON.parse(text).page),
  jobs: (text) => jobs.show(JSON.parse(text || "[]")),
  keys: (text) => keys.take(JSON.parse(text || "[]")),
}

/** Python says something to a page, or to the frame (""). */
function told(page, name, text) {
  if (page) pages[page]?.take(name, text)
  else readers[name]?.(text)
}

function perform({ do: name, args, local, page }) {
  const act = (page ? pages[page].actions : { ...pages[frame.shown()].actions, ...actions })[name]
  if (act) act()
  else if (!local) ask({ page: page || frame.shown(), do: name, ...args })
}

/** Bokeh's document is ready: read what is there, then say hello. */
function ready(given) {
  models = given
  const read = (page, model) => {
    for (const { attr } of model) {
      const value = model[attr]
      if (typeof value === "string" && value && attr !== "name") told(page, attr, value)
    }
  }
  read("", models.frame)
  for (const [name, page] of Object.entries(pages)) {
    page.ready(models.pages[name])
    read(name, models.pages[name].state)
  }
  connection("on")
  const reduced = matchMedia("(prefers-reduced-motion: reduce)").matches
  ask({ do: "hello", viewing: !document.hidden, reduced, theme: document.documentElement.dataset.theme })
  frame.current().seen?.(true)
}

notices.start(ask)
jobs.start(ask)
files.start(ask, (file, transfer) => frame.current().bring?.(file, transfer) ?? false, () => frame.current().drops ?? "Drop a picture or an archive of vizcore")
popover.start()
keys.start(perform, frame.shown)
frame.start(pages, ask)
byId("share").addEventListener("click", share)
byId("theme").addEventListener("click", actions.theme)
document.addEventListener("visibilitychange", () => ask({ do: "viewing", on: !document.hidden }))

window.vizcore = {
  ready,
  told,
  lost,
  update: ascent.update,
  scrub: ascent.scrubTo,
  live: ascent.live,
  advanced: ascent.advanced,
  open: library.open,
  ask,
  /** What is shown, for tests and the curious. */
  state: () => ({ page: frame.shown(), ...ascent.told(), library: library.state(), image: image.state(), patches: patches.state(), weights: weights.state(), dreams: dreams.state(), generators: generators.state(), networks: networks.state(), training: training.state(), atlas: atlas.state() }),
}
