/** Files that are in the test's hand: name to content. Changed at `modifiedMs`, if that says so. */
import type { Files } from '../../src/tables/cf.js'

export const memoryFiles = (
  content: Readonly<Record<string, string>>, modifiedMs: Readonly<Record<string, number>> = {},
  defaultOptionFiles: readonly string[] = [],
): Files => ({
  read: path => {
    const text = content[path]
    if (text === undefined) throw new Error(`no such file: ${path}`)
    return Buffer.from(text)
  },
  modifiedMs: path => path in content ? modifiedMs[path] ?? 0 : null,
  list: folder => Object.keys(content).filter(path => path.startsWith(`${folder}/`)).map(
    path => path.slice(folder.length + 1),
  ).sort(),
  defaultOptionFiles,
})
