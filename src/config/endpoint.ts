/** Addresses as Postfix writes them: `unix:PATH`, `inet:HOST:PORT`, `HOST:PORT`, IPv6 in brackets. */

export type Endpoint =
  | { readonly kind: 'unix', readonly path: string }
  | { readonly kind: 'inet', readonly host: string, readonly port: number }

/** An endpoint to listen on: a unix socket gets this mode and group (null: the process's own). */
export type ListenAddress =
  | { readonly kind: 'unix', readonly path: string, readonly mode: number, readonly gid: number | null }
  | { readonly kind: 'inet', readonly host: string, readonly port: number }

/** The address as Postfix writes it. */
export const endpointName = (endpoint: Endpoint): string => {
  if (endpoint.kind === 'unix') return `unix:${endpoint.path}`
  const { host, port } = endpoint
  return `inet:${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** The address that `text` names, or what is wrong with it. */
export const parseEndpoint = (text: string): Endpoint | string => {
  if (text.startsWith('unix:')) {
    const path = text.slice(5)
    if (!path.startsWith('/')) return `'${text}': write the whole path, unix:/run/holdfast/holdfast.sock`
    // sockaddr_un holds 107 bytes (unix(7)), and we first bind a name that is up to 9 bytes longer.
    return Buffer.byteLength(path) <= 98 ? { kind: 'unix', path } : `'${text}': a socket's path has at most 98 bytes`
  }
  const match = /^(?:inet:)?(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port > 65_535) return `'${text}': write unix:PATH, inet:HOST:PORT or HOST:PORT`
  return { kind: 'inet', host, port }
}
