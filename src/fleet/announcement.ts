/**
 * What a node tells the others of itself: one JSON text in the Redis that they share. Anybody may have written what
 * Redis holds, so what is read is checked and bounded.
 */
import * as z from 'zod'
import { printable } from '../log.js'

export const nodeStates = ['well', 'degraded', 'deferring', 'stopping'] as const

/** The definition of a map that is a text table begins so. */
export const textMark = 'text '

const text = z.string().min(1).max(255).transform(printable)

const schema = z.object({
  name: text,
  /** Of one process, so that two nodes with one name are told apart. */
  instance: text,
  role: z.enum(['primary', 'fallback']),
  version: text,
  state: z.enum(nodeStates),
  /** How long it has been in this state (ms); clocks of nodes differ. */
  inStateMs: z.number().min(0),
  /** The maps that are in doubt. */
  doubts: z.array(text).max(100),
  /** The MySQL servers, as it sees them. */
  servers: z.array(z.object({ server: text, state: z.enum(['closed', 'open', 'half-open']) })).max(100),
  /** Redis, as it sees it. */
  redis: text,
  /** By map: a hash of what all nodes should have alike. */
  definitions: z.record(z.string().max(255), text),
  /** By map: some keys that its copy has. Another node that serves the same data has most of them, too. */
  samples: z.record(z.string().max(255), z.array(z.string().max(255)).max(20)),
  /** Another process announces itself by this name. */
  isNameShared: z.boolean(),
})

export type Announcement = z.output<typeof schema>

/** A longer text (bytes) is not read. */
export const maxAnnouncementBytes = 100_000

/** The announcement that a text is; null if it is none. */
export const decodeAnnouncement = (json: string): Announcement | null => {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    return null
  }
  return schema.safeParse(value).data ?? null
}
