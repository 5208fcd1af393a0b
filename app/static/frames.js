// Pictures as they are stored: the packed format, a bounded cache, decoding.

const MAX_BYTES = 96 * 2 ** 20 // of stored pictures
const MAX_PIXELS = 24 * 2 ** 20 // of decoded pictures, 96 MiB

/** Reads the packed format: uint32 length of a JSON header, the header, the stored bytes of each picture. */
export function unpack(bytes) {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
  const header = JSON.parse(new TextDecoder().decode(bytes.slice(4, 4 + size)))
  const items = new Map()
  for (const item of header.items) {
    const start = 4 + size + item.offset
    items.set(item.channel, {
      score: item.score,
      status: item.status,
      type: item.type,
      bytes: bytes.subarray(start, start + item.length),
      bitmap: null,
    })
  }
  return { step: header.step, items, bytes: bytes.byteLength, pixels: 0, closed: false }
}

// Exactly the stored numbers: no colour management, no premultiplication.
const PLAIN = { colorSpaceConversion: "none" }

/** A stored picture, ready to be drawn. Two ways, since a decoder of bytes takes half of the time of one
 * of blobs, and is not in every browser, nor on pages that come from another machine without TLS. */
export async function picture(bytes, type) {
  if (!globalThis.ImageDecoder) return createImageBitmap(new Blob([bytes], { type }), { ...PLAIN, premultiplyAlpha: "none" })
  const decoder = new ImageDecoder({ data: bytes, type, ...PLAIN })
  let image = null
  try {
    image = (await decoder.decode()).image
    return await createImageBitmap(image, PLAIN) // which nobody has to close: a browser complains of a frame that is lost
  } finally {
    image?.close()
    decoder.close()
  }
}

function decode(frame, item) {
  item.bitmap ??= picture(item.bytes, item.type).then((bitmap) => {
    if (frame.closed) bitmap.close()
    else frame.pixels += bitmap.width * bitmap.height
    return bitmap
  })
  return item.bitmap
}

/** Frames of one run by step; forgets the ones used longest ago. */
export class Frames {
  constructor(run) {
    this.run = run
    this.revision = 0
    this.frames = new Map() // in order of use
    this.pending = new Map()
    this.wishes = 0
  }

  /** A frame that came live. */
  put(frame) {
    if (!this.frames.has(frame.step)) this.frames.set(frame.step, frame)
    this.trim(frame)
  }

  /** The frame of a kept step, null if the server has none (any more). */
  async get(step) {
    const known = this.frames.get(step)
    if (known) {
      this.frames.delete(step)
      this.frames.set(step, known)
      return known
    }
    if (!this.pending.has(step)) this.pending.set(step, this.fetch(step).finally(() => this.pending.delete(step)))
    return this.pending.get(step)
  }

  async fetch(step) {
    const revision = this.revision
    const answer = await fetch(`frames/${encodeURIComponent(this.run)}/${step}?r=${revision}`)
    if (answer.status !== 404 && !answer.ok) throw new Error(`the server answers ${answer.status}`)
    const frame = answer.ok ? unpack(new Uint8Array(await answer.arrayBuffer())) : null
    if (revision !== this.revision) return this.fetch(step) // made anew meanwhile
    if (frame) this.put(frame)
    return frame
  }

  /** Decoded pictures of some channels: Map channel -> {bitmap, score, status}. */
  async bitmaps(frame, channels) {
    const wanted = channels.filter((channel) => frame.items.has(channel))
    const found = await Promise.all(
      wanted.map(async (channel) => {
        const item = frame.items.get(channel)
        return [channel, { bitmap: await decode(frame, item), score: item.score, status: item.status }]
      }),
    )
    return new Map(found)
  }

  /** Fetches (and decodes, for `channels`) in the background, one after the other until something else is wished for. */
  async prefetch(steps, channels) {
    const mine = ++this.wishes
    for (const step of steps) {
      if (mine !== this.wishes) return
      const frame = await this.get(step).catch(() => null) // failures are of no interest here
      if (frame) await this.bitmaps(frame, channels).catch(() => {})
    }
  }

  /** What was to be made ready is not wanted any more: it would be in the way of what is. */
  hush() {
    this.wishes += 1
  }

  trim(newest) {
    let stored = 0
    let pixels = 0
    for (const frame of this.frames.values()) {
      stored += frame.bytes
      pixels += frame.pixels
    }
    for (const frame of this.frames.values()) {
      if (frame === newest || (stored <= MAX_BYTES && pixels <= MAX_PIXELS)) break
      stored -= frame.bytes
      pixels -= frame.pixels
      this.frames.delete(frame.step)
      close(frame)
    }
  }

  /** Forgets the frames from `step` on. */
  drop(step) {
    for (const frame of [...this.frames.values()].filter((one) => one.step >= step)) {
      this.frames.delete(frame.step)
      close(frame)
    }
  }

  /** Steps were made anew: nothing that is remembered counts. True if that was news. */
  revise(revision) {
    if (revision === this.revision) return false
    this.revision = revision
    this.clear()
    return true
  }

  clear() {
    for (const frame of this.frames.values()) close(frame)
    this.frames.clear()
  }
}

function close(frame) {
  frame.closed = true
  for (const item of frame.items.values()) item.bitmap?.then((bitmap) => bitmap.close()).catch(() => {})
}
