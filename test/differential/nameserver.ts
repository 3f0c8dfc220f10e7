/** A name server (RFC 1035) with a small world of names, for restrictions that look up servers and clients. */
import { createSocket } from 'node:dgram'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freshFolder } from '../fixtures/guard.js'

const mailServers: Readonly<Record<string, string>> = {
  'out.example': 'mx.out.example', 'x.out.example': 'mx2.sub.out.example', 'bad.example': 'mx.evil.example',
  'vm.example': 'mx.test.example', 'rel.example': '127.0.0.9', 'nullmx.example': '',
}
const nameServers: Readonly<Record<string, string>> = {
  'out.example': 'ns.out.example', 'bad.example': 'ns.evil.example', 'vm.example': 'ns.test.example',
  'example': 'ns.root.example',
}
const addresses: Readonly<Record<string, string>> = {
  'mx.out.example': '192.0.2.10', 'mx2.sub.out.example': '192.0.2.11', 'mx.evil.example': '198.51.100.5',
  'mx.test.example': '127.0.0.1', 'ns.out.example': '192.0.2.53', 'ns.evil.example': '198.51.100.53',
  'ns.test.example': '127.0.0.1', 'ns.root.example': '203.0.113.1', 'out.example': '192.0.2.80',
  'bad.example': '198.51.100.80', 'vm.example': '192.0.2.81', 'client.out.example': '192.0.2.77',
  'h.client.bad.example': '198.51.100.77', 'helo.example': '192.0.2.90',
}

const types = { a: 1, ns: 2, mx: 15 } as const

const encodeName = (name: string): Buffer => Buffer.concat([
  ...name.split('.').filter(label => label !== '').flatMap(label => [Buffer.of(label.length), Buffer.from(label)]),
  Buffer.of(0),
])

const dataOf = (name: string, type: number): Buffer | null => {
  const [server, ns, address] = [mailServers[name], nameServers[name], addresses[name]]
  if (type === types.mx && server !== undefined) return Buffer.concat([Buffer.of(0, 10), encodeName(server)])
  if (type === types.ns && ns !== undefined) return encodeName(ns)
  return type === types.a && address !== undefined ? Buffer.from(address.split('.').map(Number)) : null
}

const answerTo = (question: Buffer): Buffer => {
  const labels: string[] = []
  let at = 12
  for (let length = question[at] ?? 0; length > 0; length = question[at] ?? 0) {
    labels.push(question.toString('latin1', at + 1, at + 1 + length).toLowerCase())
    at += 1 + length
  }
  const name = labels.join('.')
  const end = at + 5
  const type = question.readUInt16BE(at + 1)
  const data = dataOf(name, type)
  const isKnown = name in mailServers || name in nameServers || name in addresses
  const header = Buffer.from(question.subarray(0, 12))
  header.writeUInt16BE(0x8580 | (isKnown ? 0 : 3), 2)
  header.writeUInt16BE(data === null ? 0 : 1, 6)
  header.writeUInt32BE(0, 8)
  const answer = data === null ? Buffer.alloc(0)
    : Buffer.concat([Buffer.of(0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, data.length), data])
  return Buffer.concat([header, question.subarray(12, end), answer])
}

/** Listens on an address of loopback; gives the start of a command line whose program asks this server and no other. */
export const startNames = async (): Promise<{ readonly command: readonly string[], stop(): Promise<void> }> => {
  // Other processes have their own.
  const address = `127.6.${(process.pid >> 8) & 0xff}.${process.pid & 0xff}`
  const socket = createSocket('udp4')
  socket.on('message', (question, { port, address: from }) => socket.send(answerTo(question), port, from))
  await new Promise<void>((resolve, reject) => { socket.once('error', reject).bind(53, address, resolve) })
  const file = join(freshFolder(), 'resolv.conf')
  // A busy machine is no broken name server.
  writeFileSync(file, `nameserver ${address}\noptions timeout:30 attempts:2\n`)
  return {
    command: ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /etc/resolv.conf && exec "$@"', file],
    stop: () => new Promise(resolve => socket.close(() => resolve())),
  }
}
