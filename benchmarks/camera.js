// Runs in /bench beside the page Image in a frame of the same origin; reports to /bench/report.
const query = new URLSearchParams(location.search)
const frame = document.getElementById("page")
const seconds = Number(query.get("seconds") ?? 10)
const report = { userAgent: navigator.userAgent, latency: [], rates: [], network: [], most: 0, backs: 0, stages: {} }
const wait = (ms) => new Promise((done) => setTimeout(done, ms))

async function until(condition, limit = 60_000) {
  const end = performance.now() + limit
  while (performance.now() < end) {
    const value = condition()
    if (value) return value
    await wait(5)
  }
  throw new Error(`never: ${condition}`)
}

/** How many requests for maps are under way at once, and how long each takes. */
function count(page) {
  const send = page.fetch
  let now = 0
  report.stages.request = []
  page.fetch = async (url, options) => {
    const maps = String(url).includes("look/maps")
    if (String(url).includes("look/project")) report.backs += 1
    if (!maps) return send.call(page, url, options)
    report.most = Math.max(report.most, ++now)
    const from = page.performance.now()
    try {
      return await send.call(page, url, options)
    } finally {
      now -= 1
      report.stages.request.push(page.performance.now() - from)
    }
  }
}

async function measure() {
  await wait(4000) // the browser itself is still starting
  frame.src = "/app" + query.get("address")
  const page = await until(() => (frame.contentWindow?.location.pathname === "/app" && frame.contentWindow.vizcore ? frame.contentWindow : null))
  const image = () => page.vizcore.state().image
  await until(() => page.vizcore.state().image?.updates > 0)
  page.document.getElementById("image-camera").click()
  await until(() => image().live && image().updates > 20)
  await wait(1000)
  count(page)
  let before = image().updates
  for (let second = 0; second < seconds; second++) {
    const [began, first] = [performance.now(), before]
    while (performance.now() - began < 1000) {
      await new Promise((done) => page.requestAnimationFrame(done))
      const now = image()
      if (now.updates === before) continue
      before = now.updates
      report.latency.push(page.performance.now() - now.taken)
    }
    report.rates.push((before - first) / ((performance.now() - began) / 1000))
  }
  report.network = page.document.getElementById("image-time").textContent
  const times = report.stages.request.sort((a, b) => a - b)
  report.stages.request = times[Math.floor(times.length / 2)]
}

measure()
  .catch((error) => (report.error = String(error)))
  .finally(() => fetch("/bench/report", { method: "POST", body: JSON.stringify(report) }))
