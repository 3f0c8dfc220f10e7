/** The programs of the bench: written in C if there is a compiler, else in Node. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from '../fixtures/child.js'
import { freshFolder } from '../fixtures/guard.js'

/** A program and its first arguments. */
export type Program = { readonly command: string, readonly args: readonly string[], readonly language: 'C' | 'Node' }

const compile = async (name: string, folder: string): Promise<Program | null> => {
  const source = fileURLToPath(new URL(`../../../test/bench/${name}.c`, import.meta.url))
  const binary = join(folder, name)
  try {
    const { code, stderr } = await run('cc', ['-O2', '-o', binary, source])
    if (code !== 0) throw new Error(`cc ${name}.c: ${stderr}`)
    return { command: binary, args: [], language: 'C' }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

const onNode = (name: string): Program =>
  ({ command: process.execPath, args: [fileURLToPath(new URL(`${name}.js`, import.meta.url))], language: 'Node' })

export type Programs = {
  readonly generator: Program
  /** floor.c, the floor of the machine; null without a C compiler. */
  readonly floorC: Program | null
  readonly floorNode: Program
  /** floor_pool.ts, which sends the same queries through a plain mysql2 pool. */
  readonly floorPool: Program
}

/** Compiles the C programs if there is a compiler; rejects if it reports an error. */
export const preparePrograms = async (): Promise<Programs> => {
  const folder = freshFolder()
  return {
    generator: await compile('generator', folder) ?? onNode('generator'),
    floorC: await compile('floor', folder),
    floorNode: onNode('floor'),
    floorPool: onNode('floor_pool'),
  }
}
