// Runs in /bench beside the dashboard in a frame of the same origin; reports to /bench/report.
const query = new URLSearchParams(location.search)
const frame = document.getElementById("page")
const seconds = Number(query.get("seconds") ?? 10)
const report = { userAgent: navigator.userAgent }
const wait = (ms) => new Promise((done) => setTimeout(done, ms))
const nextFrame = (page) => new Promise((done) => page.requestAnimationFrame(done))

async function until(condition, limit = 60_000) {
  const end = performance.now() + limit
  while (performance.now() < end) {
    const value = condition()
    if (value) return value
    await wait(5)
  }
  throw new Error(`never: ${condition}`)
}

const drawn = (page) => {
  const state = page.vizcore?.state()
  const steps = Object.values(state?.tiles ?? {})
  return steps.length && steps.every((step) => step === steps[0]) ? steps[0] : null
}

async function measure() {
  await wait(4000) // the browser itself is still starting
  const opened = performance.now()
  frame.src = "/app" + (query.get("address") ?? "")
  const page = await until(() => (frame.contentWindow?.location.pathname === "/app" ? frame.contentWindow : null))
  await until(() => drawn(page) !== null)
  await nextFrame(page)
  report.firstFrame = performance.now() - opened
  const paint = page.performance.getEntriesByName("first-contentful-paint")[0]
  report.firstPaint = paint ? page.performance.timeOrigin + paint.startTime - (performance.timeOrigin + opened) : null

  await wait(2000)
  if (!query.has("still")) await live(page)
  await scrub(page)
}

async function live(page) {
  const before = page.vizcore.state().latest
  let shown = 0, last = drawn(page)
  const began = performance.now()
  while (performance.now() - began < seconds * 1000) {
    await nextFrame(page)
    const now = drawn(page)
    if (now !== null && now !== last) (shown += 1), (last = now)
  }
  const passed = (performance.now() - began) / 1000
  report.updates = shown / passed
  report.steps = (page.vizcore.state().latest - before) / passed

  // Pause: from the click until no newer step comes.
  const clicked = performance.now()
  page.document.getElementById("primary").click()
  await until(() => page.vizcore.state().state === "paused")
  report.pause = performance.now() - clicked
  await wait(500)
}

async function scrub(page) {
  // Scrub: from the slider's event until all tiles show that step and have been painted.
  const slider = page.document.getElementById("history")
  const end = page.vizcore.state().latest
  report.scrub = []
  let at = 0
  for (let index = 0; index < 120; index++) {
    // An even walk over far steps: most are neither cached nor neighbours of one that was.
    at = (at + 0.381966 * end) % end
    slider.value = String(Math.round(at))
    const from = performance.now()
    slider.dispatchEvent(new page.Event("input", { bubbles: true }))
    const wanted = page.vizcore.state().cursor
    await until(() => drawn(page) === wanted)
    await nextFrame(page)
    report.scrub.push(performance.now() - from)
    await wait(60)
  }
  // One step on, as an arrow key does: its neighbours have been made ready.
  report.arrow = []
  for (let index = 0; index < 60; index++) {
    const from = performance.now()
    slider.dispatchEvent(new page.KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true, cancelable: true }))
    const wanted = page.vizcore.state().cursor
    await until(() => drawn(page) === wanted)
    await nextFrame(page)
    report.arrow.push(performance.now() - from)
    await wait(60)
  }
}

measure()
  .catch((error) => (report.error = String(error)))
  .finally(() => fetch("/bench/report", { method: "POST", body: JSON.stringify(report) }))
