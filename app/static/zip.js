// Many files as one: a zip without compression, since pictures have theirs.

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1
  return byte
})

/** The checksum of zips and PNGs (CRC-32). */
export function checksum(bytes) {
  let sum = ~0
  for (const byte of bytes) sum = table[(sum ^ byte) & 255] ^ (sum >>> 8)
  return ~sum >>> 0
}

const UTF8 = 0x800 // flag: names are UTF-8
const DATE = 33 // 1980-01-01: the same pictures make the same zip

/** A zip of [{path, file}] as a Blob; `tell(done)` is called after each. Up to 65,535 files and 4 GiB. */
export async function zip(entries, tell = () => {}) {
  const parts = []
  const index = []
  let offset = 0
  for (const [number, { path, file }] of entries.entries()) {
    const name = new TextEncoder().encode(path)
    const sum = checksum(new Uint8Array(await file.arrayBuffer()))
    const shared = [[20, 2], [UTF8, 2], [0, 2], [0, 2], [DATE, 2], [sum, 4], [file.size, 4], [file.size, 4], [name.length, 2], [0, 2]]
    const head = pack([[0x04034b50, 4], ...shared])
    parts.push(head, name, file)
    index.push(pack([[0x02014b50, 4], [20, 2], ...shared, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]]), name)
    offset += head.length + name.length + file.size
    tell(number + 1)
  }
  const size = index.reduce((sum, part) => sum + part.length, 0)
  const end = pack([[0x06054b50, 4], [0, 2], [0, 2], [entries.length, 2], [entries.length, 2], [size, 4], [offset, 4], [0, 2]])
  return new Blob([...parts, ...index, end], { type: "application/zip" })
}

/** Little-endian numbers of so many bytes. */
function pack(fields) {
  const bytes = []
  for (const [value, size] of fields) for (let at = 0; at < size; at++) bytes.push((value / 2 ** (8 * at)) & 255)
  return Uint8Array.from(bytes)
}
