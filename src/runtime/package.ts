/** The package that this program lies in: files of it that are read as they were written, and its version. */
import { existsSync, readFileSync } from 'node:fs'

/** The nearest folder above this code that has a package.json: tsc compiles it to other folders than the build. */
const findRoot = (folder: URL): URL => {
  const above = new URL('..', folder)
  return existsSync(new URL('package.json', folder)) || above.href === folder.href ? folder : findRoot(above)
}
const root = findRoot(new URL('.', import.meta.url))

/** A file by its path in the package. */
export const packageFile = (path: string): URL => new URL(path, root)

export const version = (JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string }).version
