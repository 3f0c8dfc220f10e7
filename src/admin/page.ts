/** The status page: one file, and a policy that lets the browser run and load nothing else. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { packageFile } from '../runtime/package.js'

const file = packageFile('src/admin/page.html')

export type Page = { readonly html: string, readonly policy: string }

const hashOf = (html: string, tag: 'script' | 'style'): string => {
  const content = new RegExp(`<${tag}>([^]*?)</${tag}>`).exec(html)?.[1] ?? ''
  return `'sha256-${createHash('sha256').update(content).digest('base64')}'`
}

/** Reads the page; `policy` is its Content-Security-Policy. Throws if the file isn't there. */
export const readPage = (): Page => {
  const html = readFileSync(file, 'utf8')
  return {
    html,
    policy: [
      'default-src \'none\'', `script-src ${hashOf(html, 'script')}`, `style-src ${hashOf(html, 'style')}`,
      'connect-src \'self\'', 'img-src data:', 'base-uri \'none\'', 'form-action \'none\'', 'frame-ancestors \'none\'',
    ].join('; '),
  }
}
