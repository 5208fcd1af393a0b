// The order of the Library's rows: what is searched for, sorted, forks under the run that they left.

const BY = {
  created: (a, b) => (a.id < b.id ? 1 : -1),
  name: (a, b) => titleOf(a).localeCompare(titleOf(b), undefined, { numeric: true }),
  model: (a, b) => a.model.localeCompare(b.model) || BY.name(a, b),
  steps: (a, b) => b.steps - a.steps,
  bytes: (a, b) => b.bytes - a.bytes,
}
export const SORTS = Object.keys(BY)

/** What a person calls the run: its name, else what it shows. */
export const titleOf = (run) => run.name || `${run.layer || run.objective || "classes"} · ${run.filters}`

/** The text that a search looks through. */
const textOf = (run) => `${run.name ?? ""} ${run.note} ${run.model} ${run.layer} ${run.filters} ${run.preset} ${run.state} ${run.id} ${run.pinned ? "pinned" : ""} ${run.parent ? "fork" : ""}`.toLowerCase()

/** The rows [{run, depth}] to show; `search` is a list of words that all must be there. */
export function arrange(runs, { search = "", sort = "created", tree = false } = {}) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean)
  const found = runs.filter((run) => {
    run.text ??= textOf(run)
    return words.every((word) => run.text.includes(word))
  })
  found.sort((a, b) => (BY[sort] ?? BY.created)(a, b) || BY.created(a, b))
  return tree ? grown(found) : found.map((run) => ({ run, depth: 0 }))
}

/** Each fork under its parent, if that was found too, in the order of the steps where they left. */
function grown(found) {
  const here = new Set(found.map((run) => run.id))
  const children = new Map()
  const roots = []
  for (const run of found) {
    const parent = run.parent?.[0]
    if (parent && parent !== run.id && here.has(parent)) children.set(parent, [...(children.get(parent) ?? []), run])
    else roots.push(run)
  }
  const rows = []
  const seen = new Set()
  const add = (run, depth) => {
    if (seen.has(run.id)) return
    seen.add(run.id)
    rows.push({ run, depth })
    const forks = (children.get(run.id) ?? []).sort((a, b) => a.parent[1] - b.parent[1] || (a.id < b.id ? -1 : 1))
    for (const fork of forks) add(fork, depth + 1)
  }
  for (const root of roots) add(root, 0)
  for (const run of found) add(run, 0) // runs that name each other as their parents
  return rows
}
