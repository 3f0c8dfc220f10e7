import { appendFile, mkdtemp, readFile, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { readSnapshot, writeSnapshot } from '../../src/caches/snapshot.js'
import type { SnapshotEntry } from '../../src/caches/snapshot.js'

const freshPath = async (t: Test): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'hf-'))
  t.teardown(() => rm(folder, { recursive: true }))
  return join(folder, 'snapshot')
}

const entries: readonly SnapshotEntry[] = [
  ['alias', 'info@example.com', '1 0123456789abcdef 1 3:a@b', 1_700_000_000_000],
  ['alias', '\0info+x@example.com', '1 0123456789abcdef 1 5:a+x@b', 0],
  ['alias', 'b\u00fccher@example.com', '1 0123456789abcdef 1 4:\u00c3\u00bc\n\u00ff', 1],
]

t.test('what was written is read, byte for byte and in order', async t => {
  const path = await freshPath(t)
  t.equal(await writeSnapshot(path, entries), entries.length)
  t.same(await readSnapshot(path), { kind: 'read', entries })
})

t.test('more than one chunk of entries is read as it was written', async t => {
  const path = await freshPath(t)
  const many = Array.from({ length: 20_000 }, (_, index): SnapshotEntry => ['alias', `user${index}@example.com`, `1 0123456789abcdef ${index} 3:a@b`, index])
  await writeSnapshot(path, many)
  t.same(await readSnapshot(path), { kind: 'read', entries: many })
})

t.test('no file is no snapshot', async t => {
  t.same(await readSnapshot(await freshPath(t)), { kind: 'none' })
})

t.test('nobody else may read it, and nothing is left beside it', async t => {
  const path = await freshPath(t)
  await writeSnapshot(path, entries)
  t.equal((await stat(path)).mode & 0o777, 0o600)
  t.same(await readdir(join(path, '..')), ['snapshot'])
})

t.test('a file cut at any byte is damaged, never half used', async t => {
  const path = await freshPath(t)
  await writeSnapshot(path, entries)
  const { size } = await stat(path)
  for (let length = size - 1; length >= 0; length--) {
    await truncate(path, length)
    t.equal((await readSnapshot(path)).kind, 'damaged', `cut to ${length} bytes`)
  }
})

t.test('a changed byte or text behind the checksum is damage', async t => {
  const path = await freshPath(t)
  await writeSnapshot(path, entries)
  const whole = await readFile(path, 'utf8')
  await writeFile(path, whole.replace('info@', 'inf0@'))
  t.match(await readSnapshot(path), { kind: 'damaged', problem: /checksum/ })
  await writeFile(path, whole)
  await appendFile(path, 'x\n')
  t.equal((await readSnapshot(path)).kind, 'damaged')
})

t.test('a write that fails leaves the old file as it was', async t => {
  const path = await freshPath(t)
  await writeSnapshot(path, entries)
  const failing = function* (): Generator<SnapshotEntry> {
    yield ['alias', 'new@example.com', '1 0123456789abcdef 1 3:a@b', 1]
    throw new Error('no more')
  }
  await t.rejects(writeSnapshot(path, failing()), { message: 'no more' })
  t.same(await readSnapshot(path), { kind: 'read', entries })
  t.same(await readdir(join(path, '..')), ['snapshot'])
})

t.test('a file of another format is not used', async t => {
  const path = await freshPath(t)
  await writeFile(path, 'holdfast snapshot 1\n')
  t.match(await readSnapshot(path), { kind: 'damaged', problem: /does not begin as a snapshot of this version/ })
})
