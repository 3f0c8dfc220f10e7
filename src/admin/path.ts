/** A unix socket with the permissions that it is meant to have from its first moment. */
import { lstatSync, unlinkSync } from 'node:fs'
import type { Server } from 'node:net'

/** Replaces a socket that a killed process left behind; rejects if something else is there, or the folder isn't. */
export const listenOnPath = (server: Server, path: string, mode: number): Promise<void> => new Promise((resolve, reject) => {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) unlinkSync(path)
  server.once('error', reject)
  // bind(2) happens within this call.
  const mask = process.umask(0o777 & ~mode)
  server.listen({ path }, () => {
    server.off('error', reject)
    resolve()
  })
  process.umask(mask)
})
