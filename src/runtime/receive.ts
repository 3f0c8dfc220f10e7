/**
 * Reads a socket without its stream, for speed: a tenth of a memory hit at 16
 * connections, a fifth at 256 (test/bench/NOTES.md).
 *
 * Node hands each chunk that it has read to the socket's `push`, which gives it to the listener of 'data', and then
 * spends a tick on asking for more. A reader that takes each chunk at once needs none of that.
 */
import { Socket } from 'node:net'

/** Takes the bytes of one socket as they come. */
export type ChunkReader = { take(chunk: Buffer): void }

const reader = Symbol('reader')
type ReadSocket = Socket & { [reader]?: ChunkReader }

// One function for all sockets: a closure for each has mostly left the CPU's caches when its turn comes.

function push(this: ReadSocket, chunk: Buffer | null): boolean {
  const to = this[reader]
  const isStreamed = this.isPaused() || this.readableLength > 0
  if (to === undefined || chunk === null || isStreamed) return Socket.prototype.push.call(this, chunk)
  to.take(chunk)
  return true
}

function onData(this: ReadSocket, chunk: Buffer): void {
  this[reader]?.take(chunk)
}

/**
 * Hands each chunk to `to`, in order. Chunks that come while the socket is paused, and those that wait behind them, go
 * through the stream.
 */
export const receive = (socket: ReadSocket, to: ChunkReader): void => {
  socket[reader] = to
  socket.push = push
  socket.on('data', onData)
}
