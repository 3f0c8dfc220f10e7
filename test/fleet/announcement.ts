/** What a node announces in which all is well. */
import type { Announcement } from '../../src/fleet/announcement.js'

export const announcement: Announcement = {
  name: 'mx1', instance: 'i', role: 'primary', version: '1.2.3', state: 'well', inStateMs: 1_000, doubts: [],
  servers: [{ server: 'db:3306', state: 'closed' }], redis: 'ready', definitions: { alias: '0123' }, samples: {},
  isNameShared: false,
}
