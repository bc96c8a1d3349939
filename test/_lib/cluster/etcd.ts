/** A real etcd of a test's own, and its keys and bytes as etcd's own client shows them. @module */

import { Buffer } from 'node:buffer'
import { execFile, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import * as v from 'valibot'
import { freePort } from '../free_port.ts'
import type { CertificateFiles } from '../remote/certificates.ts'
import { etcdBinaries } from './binaries.ts'
import { ServerProcess } from './server_process.ts'

const OUTPUT_BYTES = 1024 * 1024 * 1024

export interface Etcd extends AsyncDisposable {
  /** `http://127.0.0.1:port`, or `https://`. */
  readonly endpoint: string
  readonly dataDir: string
  readonly process: ServerProcess
  /** Runs etcdctl against it; resolves to what it printed. */
  ctl(...args: string[]): Promise<string>
  /** Keys and values below a prefix. */
  read(prefix: string): Promise<Map<string, Buffer>>
  /** The value of one key, which is there. */
  value(key: string): Promise<Buffer>
  /** Every value that any key below a prefix ever had, where nothing was compacted. */
  history(prefix: string): Promise<{ readonly key: string; readonly value: Buffer }[]>
  put(key: string, value: Uint8Array): Promise<void>
  /** A snapshot as `etcdctl snapshot save` makes it. */
  snapshot(file: string): Promise<void>
}

const PUT = 0
const event = v.object({
  type: v.optional(v.number(), 0),
  kv: v.object({ key: v.string(), value: v.optional(v.string(), '') }),
})
const watched = v.object({ Events: v.array(event) })
const range = v.object({
  kvs: v.optional(v.array(v.object({ key: v.string(), value: v.optional(v.string(), '') })), []),
})

interface EtcdFiles {
  readonly authority: CertificateFiles
  readonly server: CertificateFiles
  /** Of etcdctl. */
  readonly client: CertificateFiles
}

/**
 * @param folder where its data goes
 * @param files with them it speaks TLS, to clients with a certificate of the authority alone
 */
export async function startEtcd(folder: string, files?: EtcdFiles): Promise<Etcd> {
  const binaries = await etcdBinaries()
  const [port, peerPort] = [await freePort(), await freePort()]
  const endpoint = `${files === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
  const peer = `http://127.0.0.1:${peerPort}`
  const dataDir = join(folder, 'etcd')
  const run = promisify(execFile)
  const ctl = async (...args: string[]) => {
    const options = { maxBuffer: OUTPUT_BYTES }
    const flags = ['--endpoints', endpoint, ...(files === undefined ? [] : clientFlags(files))]
    return (await run(binaries.etcdctl, [...flags, ...args], options)).stdout
  }
  const server = new ServerProcess({
    name: 'etcd',
    program: binaries.etcd,
    args: () => [
      '--name=one',
      `--data-dir=${dataDir}`,
      `--listen-client-urls=${endpoint}`,
      `--advertise-client-urls=${endpoint}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=one=${peer}`,
      '--log-level=warn',
      // A test's data need not outlive a crash of the machine.
      '--unsafe-no-fsync',
      ...(files === undefined ? [] : serverFlags(files)),
    ],
    answers: async () => (await ctl('endpoint', 'health')) !== '',
  })
  await server.start()
  const get = async (...args: string[]) => {
    const { kvs } = v.parse(range, JSON.parse(await ctl('get', ...args, '-w', 'json')))
    return new Map(
      kvs.map(({ key, value }) => [
        Buffer.from(key, 'base64').toString(),
        Buffer.from(value, 'base64'),
      ]),
    )
  }
  return {
    endpoint,
    dataDir,
    process: server,
    ctl,
    read: (prefix) => get('--prefix', prefix),
    async value(key) {
      const value = (await get(key)).get(key)
      if (value === undefined) throw new Error(`etcd has no ${key}`)
      return value
    },
    history: (prefix) => historyOf(prefix, ctl, [binaries.etcdctl, '--endpoints', endpoint]),
    async put(key, value) {
      const child = run(binaries.etcdctl, ['--endpoints', endpoint, 'put', '--', key])
      child.child.stdin?.end(value)
      await child
    },
    async snapshot(file) {
      await ctl('snapshot', 'save', file)
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

function serverFlags({ authority, server }: EtcdFiles): string[] {
  const own = [`--cert-file=${server.cert}`, `--key-file=${server.key}`]
  return [...own, `--trusted-ca-file=${authority.cert}`, '--client-cert-auth']
}

function clientFlags({ authority, client }: EtcdFiles): string[] {
  return [`--cacert=${authority.cert}`, `--cert=${client.cert}`, `--key=${client.key}`]
}

async function historyOf(
  prefix: string,
  ctl: Etcd['ctl'],
  [program, ...args]: [string, ...string[]],
): Promise<{ key: string; value: Buffer }[]> {
  // A watch has no end of its own: it is at the one of now when it says this.
  const end = `${prefix}end-of-history`
  await ctl('put', end, 'end')
  const child = spawn(program, [...args, 'watch', '--prefix', prefix, '--rev=1', '-w', 'json'])
  const found: { key: string; value: Buffer }[] = []
  try {
    for await (const line of createInterface(child.stdout)) {
      for (const { type, kv } of v.parse(watched, JSON.parse(line)).Events) {
        const key = Buffer.from(kv.key, 'base64').toString()
        if (key === end) return found
        if (type === PUT) found.push({ key, value: Buffer.from(kv.value, 'base64') })
      }
    }
  } finally {
    child.kill()
    await ctl('del', end)
  }
  throw new Error('etcd no longer has its first revision')
}
