// Runs in /bench beside the dashboard's page Atlas in a frame of the same origin: scrolls its wall, counts frames.
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
    await wait(20)
  }
  throw new Error(`never: ${condition}`)
}

async function scroll(page, speed) {
  const wall = page.document.getElementById("atlas-wall")
  wall.scrollTop = 0
  await wait(500)
  const gaps = []
  let seen = 0, painted = 0, at = 0, way = 1
  let last = await nextFrame(page)
  const end = last + seconds * 1000
  while (last < end) {
    const now = await nextFrame(page)
    gaps.push(now - last)
    at += way * speed * (now - last) / 1000
    if (at > wall.scrollHeight - wall.clientHeight || at < 0) way = -way
    wall.scrollTop = at
    last = now
    if (gaps.length % 10 === 0) {
      const box = wall.getBoundingClientRect()
      for (const picture of wall.querySelectorAll("img")) {
        const { top, bottom } = picture.getBoundingClientRect()
        if (bottom < box.top || top > box.bottom) continue
        seen += 1
        painted += picture.complete && picture.naturalWidth > 0
      }
    }
  }
  gaps.sort((a, b) => a - b)
  const total = gaps.reduce((sum, gap) => sum + gap, 0)
  return { fps: 1000 * gaps.length / total, slow: 1000 / gaps[Math.floor(0.95 * gaps.length)], longest: gaps.at(-1), painted: painted / Math.max(1, seen), reached: Math.max(at, wall.scrollTop) }
}

async function measure() {
  await wait(4000) // the browser itself is still starting
  frame.src = "/app" + query.get("address")
  const page = await until(() => (frame.contentWindow?.location.pathname === "/app" ? frame.contentWindow : null))
  report.rows = await until(() => page.vizcore?.state().atlas.there > 20 && page.vizcore.state().atlas.rows.length)
  await wait(2000)
  report.steady = await scroll(page, 600) // px a second: as one reads
  report.fast = await scroll(page, 20_000) // as one who looks for something far down
  report.there = page.vizcore.state().atlas.there
  report.heap = performance.memory?.usedJSHeapSize ?? null
}

measure()
  .catch((error) => (report.error = String(error)))
  .finally(() => fetch("/bench/report", { method: "POST", body: JSON.stringify(report) }))
