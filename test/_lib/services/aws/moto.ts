/**
 * KMS, STS and IAM of moto, an independent check of what the plugin sends: with authentication
 * turned on it verifies every signature with botocore's own code. The PyPI package is downloaded
 * into a cache outside the tree.
 *
 * @module
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { request } from 'node:http'
import type { Socket } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import * as v from 'valibot'
import { freePort } from '../../free_port.ts'
import { until } from '../../wait.ts'

const VERSION = '5.2.5'
const CACHE = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  'trousseau',
  `moto-${VERSION}`,
)
export const MOTO_REGION = 'eu-central-1'

export interface MotoUser {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface Moto extends AsyncDisposable {
  readonly address: string
  /** An action of KMS as an administrator; only before {@link enforce}. */
  kms(action: string, body: object): Promise<Readonly<Record<string, unknown>>>
  /** Makes a symmetric key and returns its ARN. */
  makeKey(): Promise<string>
  /** A user who may do these actions and nothing more; only before {@link enforce}. */
  makeUser(name: string, actions: readonly string[]): Promise<MotoUser>
  /** A role whose sessions may do these actions; only before {@link enforce}. */
  makeRole(name: string, actions: readonly string[]): Promise<string>
  /** From now on signatures, keys and policies are checked; `false` turns that off again. */
  enforce(on?: boolean): Promise<void>
}

/**
 * A server for the tests of a file, which is emptied for each: Python takes longer to start
 * than most of them take. It ends with the process.
 */
export async function emptyMoto(): Promise<Moto> {
  shared ??= startMoto()
  const moto = await shared
  await moto.enforce(false)
  await empty(moto.address)
  return { ...moto, [Symbol.asyncDispose]: () => Promise.resolve() }
}

let shared: Promise<Moto> | undefined

export async function startMoto(): Promise<Moto> {
  await installMoto()
  const port = await freePort()
  const args = ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)]
  const child = spawn('python3', args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PYTHONPATH: CACHE, INITIAL_NO_AUTH_ACTION_COUNT: '1000000' },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output = (output + chunk).slice(-10_000)
    })
  }
  endWithProcess(child)
  const address = `http://127.0.0.1:${port}`
  await until(
    'moto answers',
    async () => {
      if (child.exitCode !== null) throw new Error(`moto exited: ${output}`)
      return await empty(address).then(
        () => true,
        () => false,
      )
    },
    { everyMs: 100 },
  )
  return {
    ...administration(address),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.ref()
      const closed = once(child, 'close')
      child.kill('SIGKILL')
      await closed
    },
  }
}

/** Without holding the process up. */
function endWithProcess(child: ChildProcess): void {
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  child.once('exit', () => process.off('exit', kill))
  child.unref()
  for (const stream of [child.stdout, child.stderr]) (stream as Socket | null)?.unref()
}

async function empty(address: string): Promise<void> {
  await post(address, '/moto-api/reset', {}, '')
}

const madeKey = v.object({ KeyMetadata: v.object({ Arn: v.string() }) })

function administration(address: string): Omit<Moto, typeof Symbol.asyncDispose> {
  const iam = (action: string, fields: Readonly<Record<string, string>>) => {
    const form = new URLSearchParams({ Action: action, Version: '2010-05-08', ...fields })
    const headers = { ...scope('iam'), 'content-type': 'application/x-www-form-urlencoded' }
    return post(address, '/', headers, form.toString())
  }
  const kms: Moto['kms'] = async (action, body) => {
    const headers = {
      ...scope('kms'),
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': `TrentService.${action}`,
    }
    const text = await post(address, '/', headers, JSON.stringify(body))
    return text === '' ? {} : JSON.parse(text)
  }
  return {
    address,
    kms,
    async makeKey() {
      // Where these are not given, moto answers null for them.
      const made = await kms('CreateKey', { KeyUsage: 'ENCRYPT_DECRYPT', MultiRegion: false })
      return v.parse(madeKey, made).KeyMetadata.Arn
    },
    async makeUser(name, actions) {
      await iam('CreateUser', { UserName: name })
      const policy = { UserName: name, PolicyName: 'own', PolicyDocument: policyFor(actions) }
      await iam('PutUserPolicy', policy)
      const xml = await iam('CreateAccessKey', { UserName: name })
      return {
        accessKeyId: element(xml, 'AccessKeyId'),
        secretAccessKey: element(xml, 'SecretAccessKey'),
      }
    },
    async makeRole(name, actions) {
      const trust = JSON.stringify({
        Version: '2012-10-17',
        Statement: [{ Effect: 'Allow', Principal: { AWS: '*' }, Action: 'sts:AssumeRole' }],
      })
      const xml = await iam('CreateRole', { RoleName: name, AssumeRolePolicyDocument: trust })
      const policy = { RoleName: name, PolicyName: 'own', PolicyDocument: policyFor(actions) }
      await iam('PutRolePolicy', policy)
      return element(xml, 'Arn')
    },
    async enforce(on = true) {
      await post(address, '/moto-api/reset-auth', {}, on ? '0' : '1000000')
    },
  }
}

/** moto judges actions; it does not know which key a request is about. */
function policyFor(Action: readonly string[]): string {
  const Statement = [{ Effect: 'Allow', Action, Resource: '*' }]
  return JSON.stringify({ Version: '2012-10-17', Statement })
}

/** By which moto finds the service and the region. */
function scope(service: string) {
  const place = `20260101/${MOTO_REGION}/${service}/aws4_request`
  return {
    authorization: `AWS4-HMAC-SHA256 Credential=admin/${place}, SignedHeaders=host, Signature=0`,
  }
}

function element(xml: string, name: string): string {
  const found = new RegExp(`<${name}>([^<]+)</${name}>`).exec(xml)?.[1]
  if (found === undefined) throw new Error(`moto answered without ${name}`)
  return found
}

/** A client of its own, so that the tests do not judge the product by the product. */
function post(
  address: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request(`${address}${path}`, { method: 'POST', headers, agent: false })
    outgoing.on('response', (incoming) => {
      let text = ''
      incoming.setEncoding('utf8')
      incoming.on('data', (chunk: string) => {
        text += chunk
      })
      incoming.on('error', reject)
      incoming.on('end', () => {
        if (incoming.statusCode === 200) resolve(text)
        else reject(new Error(`moto answered ${incoming.statusCode}: ${text}`))
      })
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

/** Brings the package, once, however many test files start at the same time. */
export async function installMoto(): Promise<void> {
  const there = () =>
    access(join(CACHE, 'moto')).then(
      () => true,
      () => false,
    )
  if (await there()) return
  await mkdir(join(CACHE, '..'), { recursive: true })
  const draft = await mkdtemp(`${CACHE}.new-`)
  const args = ['-m', 'pip', 'install', '--quiet', '--target', draft, `moto[server]==${VERSION}`]
  await promisify(execFile)('python3', args)
  await rename(draft, CACHE).catch(async (error: unknown) => {
    await rm(draft, { recursive: true, force: true })
    if (!(await there())) throw error
  })
}
