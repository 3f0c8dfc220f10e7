/**
 * What a client sends, at once. A socket is a stream: each chunk that was read
 * is handed to its `push`, which gives it to who listens for 'data' and then
 * takes a tick to find out whether there is room for more. Where somebody takes
 * each chunk as it comes, nothing of that has a use, and it is a tenth of what
 * a lookup from memory takes (test/bench/NOTES.md).
 */
import { Socket } from 'node:net'

export type Taker = { take(chunk: Buffer): void }

const taker = Symbol('taker')
type Received = Socket & { [taker]?: Taker | undefined }

// One function for all sockets, not one for each: what each has of its own has mostly left the CPU's caches since it was read last.

function push(this: Received, chunk: Buffer | null): boolean {
  const to = this[taker]
  if (to === undefined || chunk === null || this.isPaused() || this.readableLength > 0) return Socket.prototype.push.call(this, chunk)
  to.take(chunk)
  return true
}

function onData(this: Received, chunk: Buffer): void {
  this[taker]?.take(chunk)
}

/**
 * Gives each chunk to `to`. While the socket is paused, and as long as it has
 * chunks from then, they take the stream's way, in their order.
 */
export const receive = (socket: Received, to: Taker): void => {
  socket[taker] = to
  socket.push = push
  socket.on('data', onData)
}

/** All that comes from now on is thrown away. */
export const ignore = (socket: Received): void => {
  socket[taker] = undefined
  socket.resume()
}
