/**
 * The TLS parameters of mysql_table(5) -> the driver's options. The files are read once, when
 * the map is opened.
 *
 * The server's certificate must come from the certificate authority that is named, if one is.
 * `tls_verify_cert = yes` demands the right name besides. With neither, the connection is
 * encrypted, but the server may be anybody.
 *
 * The name is judged by OpenSSL's rules, as Postfix's client does it: the common name counts where the certificate has
 * no DNS name beside it, for an address too. Node's own rules, which the driver has, know no address in a name.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { createSecureContext, TLSSocket } from 'node:tls'
import type { Connection as Driver, SslOptions } from 'mysql2'

/** Paths and ciphers as given. */
export type Tls = {
  readonly certFile: string | null
  readonly keyFile: string | null
  readonly caFile: string | null
  readonly caPath: string | null
  readonly ciphers: string | null
  /** Whether the server's certificate and name must be right. */
  readonly verify: boolean
}

/** The driver's options, and whether the certificate must be for the host that was connected to. */
export type ReadTls = SslOptions & { readonly verifyName: boolean }

/** Every certificate in a folder; other files are passed over. */
const certificatesIn = (folder: string): readonly Buffer[] =>
  readdirSync(folder).map(name => join(folder, name)).filter(path => statSync(path).isFile())
    .map(path => readFileSync(path)).filter(content => content.includes('-----BEGIN CERTIFICATE-----'))

/** Reads the files. Throws if one can't be read or isn't what it should be. */
export const readTls = ({ certFile, keyFile, caFile, caPath, ciphers, verify }: Tls): ReadTls => {
  const authorities = [
    ...caFile === null ? [] : [readFileSync(caFile)],
    ...caPath === null ? [] : certificatesIn(caPath),
  ]
  const material = {
    ...certFile === null ? {} : { cert: readFileSync(certFile) },
    // As in the client library, one file may hold both.
    ...keyFile === null && certFile === null ? {} : { key: readFileSync(keyFile ?? certFile ?? '') },
    ...authorities.length === 0 ? {} : { ca: authorities },
    ...ciphers === null ? {} : { ciphers },
  }
  // Throws now for what would fail every connection.
  createSecureContext(material)
  return {
    ...material,
    rejectUnauthorized: verify || caFile !== null || caPath !== null,
    verifyName: verify,
  }
}

/** Has the driver ask whether the server's certificate is for `host`, before it sends anything of the account. */
export const verifyName = (driver: Driver, host: string): void => {
  const start: unknown = Reflect.get(driver, 'startTLS')
  if (typeof start !== 'function') throw new TypeError('the driver has no way to start TLS')
  Reflect.set(driver, 'startTLS', (onSecure: (error?: Error | null) => void) => {
    Reflect.apply(start, driver, [(error?: Error) => onSecure(error ?? wrongName(Reflect.get(driver, 'stream'), host))])
  })
}

const wrongName = (stream: unknown, host: string): Error | null => {
  const certificate = stream instanceof TLSSocket ? stream.getPeerX509Certificate() : undefined
  if (certificate === undefined) return new Error('no certificate')
  const name = certificate.checkHost(host) ?? (isIP(host) === 0 ? undefined : certificate.checkIP(host))
  if (name !== undefined) return null
  return new Error(`the server's certificate is not for ${host}, but for `
    + [certificate.subject, certificate.subjectAltName ?? ''].join(' ').replaceAll('\n', ' '))
}
