/**
 * What each error code means, and what to do. `trousseau explain` and docs/reference.md are made of
 * this; the compiler keeps it whole.
 *
 * @module
 */

import type { KmsErrorCode } from '../../base/errors.ts'

export interface CodeEntry {
  /** The gRPC status that an API server sees. */
  readonly status: string
  readonly means: string
  readonly todo: string
}

export const CODES: Readonly<Record<KmsErrorCode, CodeEntry>> = {
  request_invalid: {
    status: 'INVALID_ARGUMENT',
    means:
      'The request, the command or its file is not as the protocol or the command wants it: too long, empty, or of another form.',
    todo: 'Read the message: it says what was wanted. From an API server, look for something else that speaks to the socket.',
  },
  ciphertext_invalid: {
    status: 'INVALID_ARGUMENT',
    means:
      'What was to be opened was changed, is cut off, or was written by another plugin or under another key id.',
    todo: 'Look with "trousseau scan" who wrote the object. Where another plugin did, see docs/takeover.md; where storage damaged it, restore it from a backup. Never delete Secrets because of this before you know.',
  },
  ciphertext_empty: {
    status: 'INVALID_ARGUMENT',
    means: 'A Decrypt came without a ciphertext.',
    todo: 'The object in etcd is damaged, or something else than an API server asks: "trousseau scan" shows the object.',
  },
  key_unknown: {
    status: 'NOT_FOUND',
    means: 'No provider of the config has the key that something was encrypted with.',
    todo: 'Put the provider that wrote it back into the config, with decryptOnly: true; where the same key had another id, put that into formerIds. "trousseau scan" shows which key that was.',
  },
  key_unavailable: {
    status: 'FAILED_PRECONDITION',
    means:
      'The key service answers, and the key cannot be used: it is disabled, deleted, of a wrong type, or lacks a version.',
    todo: 'Enable or restore the key, or its version, at the key service. Everything resumes by itself.',
  },
  unbound: {
    status: 'FAILED_PRECONDITION',
    means:
      'The key service does not heed what a wrap is bound to, or a wrap was made by one that did not.',
    todo: 'Upgrade the key service (Vault to 1.13 or later). What was written before opens with allowUnboundDecrypt: true: docs/providers/vault.md. Rewrite everything after that.',
  },
  denied: {
    status: 'PERMISSION_DENIED',
    means:
      'The key service refused the login or the request, or the file with the credentials cannot be read.',
    todo: 'The message names the login, the file or the right that is missing. A changed credential file is used at once; a policy within six minutes.',
  },
  policy_denied: {
    status: 'PERMISSION_DENIED',
    means: 'A policy, and not the login, forbids the operation.',
    todo: 'The message names it: change what it is about, or the policy.',
  },
  throttled: {
    status: 'RESOURCE_EXHAUSTED',
    means: 'The key service has had too many requests, of this plugin or of others.',
    todo: 'Raise the quota. The plugin waits as long as the service says, and API servers try again.',
  },
  unavailable: {
    status: 'UNAVAILABLE',
    means:
      'The key service, the socket or a file system cannot be reached, or nothing is known of them yet.',
    todo: 'The message says what got no answer, and why. API servers go on with the keys in their memory: do not restart them. Everything resumes by itself.',
  },
  timeout: {
    status: 'DEADLINE_EXCEEDED',
    means: 'No answer came inside requestTimeout, or inside the time that the client gave.',
    todo: 'See whether the key service or the way to it is slow ("trousseau bench", trousseau_provider_call_duration_seconds), or the node is overloaded.',
  },
  cancelled: {
    status: 'CANCELLED',
    means: 'The client gave the request up before it was answered, or the plugin stops.',
    todo: 'Nothing, if it is rare. Otherwise look why the API server gives up: its timeout, or a restart.',
  },
  protocol: {
    status: 'INTERNAL',
    means: 'What answered is not the key service, or not as its interface says.',
    todo: 'Look for a proxy or a load balancer that answers in its place, and whether address and path are right.',
  },
  internal: {
    status: 'INTERNAL',
    means: 'A fault of Trousseau itself.',
    todo: 'Report it with the log line, which has a stack and nothing secret.',
  },
}
