/**
 * What this process waits for outside of itself: HTTP requests, files, and keys that sign.
 * No promise and no virtual time tells when they are through, and a clock that passed
 * over them would end them by their time limit.
 *
 * @module
 */

import { createHook } from 'node:async_hooks'
import { subscribe } from 'node:diagnostics_channel'

const underWay = new Set<unknown>()
let watched = false

/** From now on they are counted; to be called before any of them begins. */
export function watchUnderWay(): void {
  if (watched) return
  watched = true
  watchRequests()
  watchFiles()
  watchSignatures()
}

export function isUnderWay(): boolean {
  return underWay.size > 0
}

function watchRequests(): void {
  const requestOf = (message: unknown) => (message as { readonly request: unknown }).request
  const ends = (message: unknown) => underWay.delete(requestOf(message))
  subscribe('undici:request:create', (message) => underWay.add(requestOf(message)))
  subscribe('undici:request:trailers', ends)
  subscribe('undici:request:error', ends)
}

function watchFiles(): void {
  const ends = (id: number) => underWay.delete(id)
  createHook({
    init(id, type) {
      if (type.startsWith('FSREQ')) underWay.add(id)
    },
    after: ends,
    destroy: ends,
    trackPromises: false,
  }).enable()
}

/** Async hooks do not tell a key that signs from one that has signed at once. */
function watchSignatures(): void {
  const { sign } = SubtleCrypto.prototype
  SubtleCrypto.prototype.sign = function signWatched(...args) {
    const signature = sign.apply(this, args)
    underWay.add(signature)
    const ends = () => underWay.delete(signature)
    signature.then(ends, ends)
    return signature
  }
}
