import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { appendPieces, readPieces, writePieces } from '../../src/caches/piece_file.js'
import { run } from '../fixtures/child.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'

const folder = freshFolder()
t.teardown(() => removeFolder(folder))
const pieces = [Buffer.from('head'), Buffer.alloc(300_000, 7), Buffer.from([0])]

const readAll = async (path: string): Promise<{ pieces: string[], problem: string | null }> => {
  const read: string[] = []
  const problem = await readPieces(path, piece => { read.push(piece.toString('latin1')) })
  return { pieces: read, problem }
}
const texts = (buffers: readonly Buffer[]): string[] => buffers.map(each => each.toString('latin1'))

t.test('what was written is read, piece by piece, and nobody else may read it', async t => {
  const path = join(folder, 'new', 'copy')
  await writePieces(path, pieces)
  t.strictSame(await readAll(path), { pieces: texts(pieces), problem: null })
  t.equal(statSync(path).mode & 0o777, 0o600, 'it holds addresses')
  t.strictSame(readdirSync(join(folder, 'new')), ['copy'])
})

t.test('what is appended is read after what was there', async t => {
  const path = join(folder, 'appended')
  const end = await appendPieces(path, await writePieces(path, pieces), [Buffer.from('one')])
  t.strictSame(await readAll(path), { pieces: [...texts(pieces), 'one'], problem: null })
  // A crash left half a piece there.
  writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.from('half')]))
  await appendPieces(path, end, [Buffer.from('two, which is longer')])
  t.strictSame(await readAll(path), { pieces: [...texts(pieces), 'one', 'two, which is longer'], problem: null })
})

t.test('nothing is appended to a file that somebody has cut short: it could not be read', async t => {
  const path = join(folder, 'cut')
  const end = await writePieces(path, pieces)
  writeFileSync(path, '')
  await t.rejects(appendPieces(path, end, [Buffer.from('one')]), { message: 'somebody has cut it short' })
})

t.test('a file that isn\'t there is told from one that is damaged', async t => {
  t.strictSame(await readAll(join(folder, 'none')), { pieces: [], problem: 'none' })
})

t.test('a file that is cut short or changed anywhere is read up to there', async t => {
  const path = join(folder, 'damaged')
  await writePieces(path, [Buffer.from('head'), Buffer.from('rows')])
  const whole = readFileSync(path)
  const second = whole.length / 2
  for (let size = 0; size < whole.length; size++) {
    const before = size < second ? [] : ['head']
    writeFileSync(path, whole.subarray(0, size))
    t.strictSame(await readAll(path), {
      pieces: before, problem: size % second === 0 ? null : 'it is damaged: cut short or changed',
    }, `cut to ${size} bytes`)
    const changed = Buffer.from(whole)
    changed[size] = (changed[size] ?? 0) ^ 1
    writeFileSync(path, changed)
    t.strictSame(await readAll(path), { pieces: before, problem: 'it is damaged: cut short or changed' },
      `byte ${size} changed`)
  }
})

t.test('a write that fails leaves the old file as it was', async t => {
  const path = join(folder, 'kept')
  await writePieces(path, pieces)
  const failing = function* (): Generator<Buffer> {
    yield Buffer.from('new')
    throw new Error('no more')
  }
  await t.rejects(writePieces(path, failing()), { message: 'no more' })
  t.strictSame(await readAll(path), { pieces: texts(pieces), problem: null })
})

t.test('an append for a part of which there is room fails: more would else be appended to half a piece', async t => {
  const path = join(folder, 'full')
  const { size, sum } = await writePieces(path, pieces)
  const script = `
    import { appendPieces } from ${JSON.stringify(new URL('../../src/caches/piece_file.js', import.meta.url).href)}
    const end = { size: ${size}, sum: Buffer.from('${sum.toString('hex')}', 'hex') }
    await appendPieces(${JSON.stringify(path)}, end, [Buffer.alloc(1000)]).catch(({ code }) => console.log(code))
  `
  // The limit stands for the room on the disk. What tap has each Node load would end the process by a signal.
  const command = ['-u', 'NODE_OPTIONS', 'prlimit', `--fsize=${size + 500}`, process.execPath]
  const { stdout, stderr } = await run('env', [...command, '--input-type=module', '-e', script])
  t.strictSame({ stdout, stderr }, { stdout: 'EFBIG\n', stderr: '' })
})
