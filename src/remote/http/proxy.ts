/** Which hosts are asked through the proxy. @module */

import { Buffer } from 'node:buffer'
import { BlockList, isIP } from 'node:net'
import { KmsError, systemReasonOf } from '../../base/errors.ts'
import { readSmallFile } from '../../base/small_file.ts'

export interface ProxyOptions {
  /** `http://host:port` or `https://host:port`. */
  readonly url: string
  /** Hosts, `.domain` for everything below it, addresses and `address/bits`, which are asked directly. */
  readonly except: readonly string[]
  /** Holds `user:password` for the proxy. */
  readonly credentialsFile?: string | undefined
}

/** @param host without port; brackets around an IPv6 address do not matter */
export function goesThroughProxy(host: string, except: readonly string[]): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase()
  return !except.some((rule) => matches(bare, rule.toLowerCase()))
}

function matches(host: string, rule: string): boolean {
  if (rule.includes('/')) return isInside(host, rule)
  const domain = rule.replace(/^\*?\./, '')
  return host === domain || (domain !== rule && host.endsWith(`.${domain}`))
}

function isInside(host: string, rule: string): boolean {
  const version = isIP(host)
  const [network = '', bits = ''] = rule.split('/')
  if (version === 0 || isIP(network) !== version) return false
  const family = version === 4 ? 'ipv4' : 'ipv6'
  const list = new BlockList()
  list.addSubnet(network, Number(bits), family)
  return list.check(host, family)
}

/**
 * The header that the proxy wants, in UTF-8 (RFC 7617). Only the end of the line is no part of the
 * password, which may have spaces.
 *
 * @throws KmsError `unavailable`; the file may be corrected while the plugin runs
 */
export async function proxyToken({ credentialsFile }: ProxyOptions): Promise<string | undefined> {
  if (credentialsFile === undefined) return undefined
  const text = await readSmallFile(credentialsFile).catch((cause: unknown) => {
    const message = `Cannot read file "${credentialsFile}" of proxy.credentialsFile: ${systemReasonOf(cause)}`
    throw new KmsError(message, { code: 'unavailable', cause })
  })
  const credentials = text.replace(/^\uFEFF/, '').replace(/\r?\n$/, '')
  if (!CREDENTIALS.test(credentials)) {
    const message = `File "${credentialsFile}" of proxy.credentialsFile cannot be used: wanted one line, user:password`
    throw new KmsError(message, { code: 'unavailable' })
  }
  return `Basic ${Buffer.from(credentials, 'utf8').toString('base64')}`
}

/** Without control characters, which no proxy takes. */
const CREDENTIALS = /^[^:\p{Cc}]+:\P{Cc}*$/u
