/** The client in Go, built once for its sources into a cache outside the tree. @module */

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as v from 'valibot'

const SOURCES = fileURLToPath(new URL('../e2e/go_client/', import.meta.url))
const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'trousseau')
const run = promisify(execFile)

const report = v.object({
  ok: v.boolean(),
  error: v.optional(v.string()),
  version: v.string(),
  healthz: v.string(),
  keyId: v.string(),
  ciphertextBytes: v.number(),
  annotations: v.number(),
  /** What Decrypt says to a key id of another make. */
  foreignKeyIdCode: v.string(),
  v1Version: v.string(),
  v1Runtime: v.string(),
  v1CiphertextBytes: v.number(),
  /** What v1beta1 Decrypt says to a changed ciphertext. */
  v1TamperedCode: v.string(),
})
export type GoReport = v.InferOutput<typeof report>

/** `localhost` as API servers since 1.32 say, `default` as grpc-go says by itself. */
export type Authority = 'localhost' | 'default'

/** Status, Encrypt and Decrypt of v2, and Version, Encrypt and Decrypt of v1beta1. */
export async function runGoClient(socketPath: string, authority: Authority): Promise<GoReport> {
  const args = ['-socket', socketPath, '-authority', authority]
  // A failure is an exit code and a report too.
  const { stdout } = await run(await buildGoClient(), args).catch((error: { stdout?: string }) => {
    if (typeof error.stdout !== 'string' || error.stdout === '') throw error
    return { stdout: error.stdout }
  })
  return v.parse(report, JSON.parse(stdout))
}

/** Resolves to the path of the program. */
export async function buildGoClient(): Promise<string> {
  const digest = createHash('sha256')
  for (const file of ['main.go', 'go.mod', 'go.sum']) digest.update(await readFile(SOURCES + file))
  const path = join(CACHE, `go-client-${digest.digest('hex').slice(0, 16)}`)
  const there = await access(path).then(
    () => true,
    () => false,
  )
  if (there) return path
  await mkdir(CACHE, { recursive: true })
  const draft = await mkdtemp(join(CACHE, 'go-client.new-'))
  try {
    const env = { ...process.env, GOFLAGS: '-mod=readonly -buildvcs=false', GOTOOLCHAIN: 'local' }
    await run('go', ['build', '-trimpath', '-o', join(draft, 'client'), '.'], { cwd: SOURCES, env })
    await rename(join(draft, 'client'), path)
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
  return path
}
