/** The package that this program lies in: files of it that are read as they were written, and its version. */
import { readFileSync } from 'node:fs'

/** A file by its path in the package. Code lies two folders below: in dist/src as it was compiled, in dist/holdfast as it ships. */
export const packageFile = (path: string): URL => new URL(`../../${path}`, import.meta.url)

export const version = (JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string }).version
