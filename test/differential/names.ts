/** The zones of a name server for restrictions that look up servers and clients. */
import type { Name } from '../fixtures/zone.js'

const names: Readonly<Record<string, Name>> = {
  'example': { ns: ['ns.root.example'] },
  'out.example': { mx: ['10 mx.out.example'], ns: ['ns.out.example'], a: ['192.0.2.80'] },
  'x.out.example': { mx: ['10 mx2.sub.out.example'] },
  'bad.example': { mx: ['10 mx.evil.example'], ns: ['ns.evil.example'], a: ['198.51.100.80'] },
  'vm.example': { mx: ['10 mx.test.example'], ns: ['ns.test.example'], a: ['192.0.2.81'] },
  'rel.example': { mx: ['10 127.0.0.9'] },
  'nullmx.example': { mx: ['10 .'] },
  'mx.out.example': { a: ['192.0.2.10'] },
  'mx2.sub.out.example': { a: ['192.0.2.11'] },
  'mx.evil.example': { a: ['198.51.100.5'] },
  'mx.test.example': { a: ['127.0.0.1'] },
  'ns.out.example': { a: ['192.0.2.53'] },
  'ns.evil.example': { a: ['198.51.100.53'] },
  'ns.test.example': { a: ['127.0.0.1'] },
  'ns.root.example': { a: ['203.0.113.1'] },
  'client.out.example': { a: ['192.0.2.77'] },
  'h.client.bad.example': { a: ['198.51.100.77'] },
  // A DNS block list that has 127.0.0.3.
  '3.0.0.127.list.example': { a: ['127.0.0.2'] },
  'helo.example': { a: ['192.0.2.90'] },
}

export const nameOf = (name: string): Name | undefined => names[name]
