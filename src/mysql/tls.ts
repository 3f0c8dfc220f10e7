/**
 * The TLS parameters of mysql_table(5) -> what the driver wants. The files are
 * read once, when the map is opened.
 *
 * A certificate authority that is named is also used: the server's certificate
 * must come from it. `tls_verify_cert = yes` asks for the right name besides.
 * With neither, the connection is encrypted, but with whoever answers.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { SslOptions } from 'mysql2'
import type { Tls } from '../tables/definition.js'

/** Every certificate in a folder; what else is there doesn't matter. */
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
  // Throws now what would fail every connection.
  createSecureContext(material)
  return {
    ...material,
    rejectUnauthorized: verify || caFile !== null || caPath !== null,
    verifyIdentity: verify,
  }
}
