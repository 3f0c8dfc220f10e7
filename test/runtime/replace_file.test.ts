import { readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { replaceFile } from '../../src/runtime/replace_file.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'

t.test('a file is replaced as a whole, for this account alone, whatever lies where it is written', async t => {
  const folder = freshFolder()
  t.teardown(() => removeFolder(folder))
  const path = join(folder, 'snapshot')
  // A trap: who follows the link overwrites another file.
  writeFileSync(join(folder, 'other'), 'precious')
  symlinkSync(join(folder, 'other'), `${path}.new`)
  await replaceFile(path, append => append('one'))
  t.equal(readFileSync(path, 'utf8'), 'one')
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(readFileSync(join(folder, 'other'), 'utf8'), 'precious')
  // What a process left that was killed in the middle.
  writeFileSync(`${path}.new`, 'half', { mode: 0o644 })
  await replaceFile(path, append => append('two'))
  t.equal(readFileSync(path, 'utf8'), 'two')
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.strictSame(readdirSync(folder).sort(), ['other', 'snapshot'])
})

t.test('a write that fails leaves the old file, and nothing beside it', async t => {
  const folder = freshFolder()
  t.teardown(() => removeFolder(folder))
  const path = join(folder, 'snapshot')
  await replaceFile(path, append => append('old'))
  await t.rejects(replaceFile(path, async append => {
    await append('new')
    throw new Error('no')
  }), { message: 'no' })
  t.equal(readFileSync(path, 'utf8'), 'old')
  t.strictSame(readdirSync(folder), ['snapshot'])
})
