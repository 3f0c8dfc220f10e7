/**
 * What a client sends, at once. A socket is a stream: each chunk that was read
 * is handed to its `push`, which gives it to who listens for 'data' and then
 * takes a tick to find out whether there is room for more. Where somebody takes
 * each chunk as it comes, nothing of that has a use, and it is a tenth of what
 * a lookup from memory takes (test/bench/NOTES.md).
 */
import type { Socket } from 'node:net'

/**
 * Has `take` called with each chunk. While the socket is paused, and as long as
 * it has chunks from then, they take the stream's way, in their order. Gives
 * what ends it: from then on all that comes is thrown away.
 */
export const receive = (socket: Socket, take: (chunk: Buffer) => void): () => void => {
  const push = socket.push.bind(socket)
  socket.push = (chunk: Buffer | null) => {
    if (chunk === null || socket.isPaused() || socket.readableLength > 0) return push(chunk)
    take(chunk)
    return true
  }
  socket.on('data', take)
  return () => {
    socket.push = push
    socket.off('data', take)
    socket.resume()
  }
}
