/**
 * The TLS parameters of mysql_table(5) -> the driver's options. The files are read once, when
 * the map is opened.
 *
 * The server's certificate must come from the certificate authority that is named, if one is.
 * `tls_verify_cert = yes` demands the right name besides. With neither, the connection is
 * encrypted, but the server may be anybody.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { SslOptions } from 'mysql2'

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

/** Every certificate in a folder; other files are passed over. */
const certificatesIn = (folder: string): readonly Buffer[] =>
  readdirSync(folder).map(name => join(folder, name)).filter(path => statSync(path).isFile())
    .map(path => readFileSync(path)).filter(content => content.includes('-----BEGIN CERTIFICATE-----'))

/** Reads the files. Throws if one can't be read or isn't what it should be. */
export const readTls = ({ certFile, keyFile, caFile, caPath, ciphers, verify }: Tls): SslOptions => {
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
    verifyIdentity: verify,
  }
}
