/** What an operator does about each kind of failure, the same wherever it is shown. @module */

import { KMS_ERROR_CODES, type KmsErrorCode } from './errors.ts'

export const REMEDIES: Readonly<Record<KmsErrorCode, string>> = {
  request_invalid:
    'The message says what was wanted. From an API server: look for something else that speaks to the socket.',
  ciphertext_invalid:
    'Look with "trousseau scan" who wrote the object: another plugin (docs/takeover.md), or damaged storage (restore it from a backup). Never delete Secrets because of this before you know.',
  ciphertext_empty:
    'The object in etcd is damaged, or something else than an API server asks: "trousseau scan" shows the object.',
  key_unknown:
    'Put the provider that wrote it back into the config, with decryptOnly: true; where the same key had another id, put that into formerIds. "trousseau scan" shows which key that was.',
  key_unavailable:
    'Enable or restore the key, or its version, at the key service. Everything resumes by itself.',
  unbound:
    'Upgrade the key service (Vault to 1.13 or later). What was written before opens with allowUnboundDecrypt: true: docs/providers/vault.md. Rewrite everything after that.',
  denied:
    'The message names the login, the file or the right that is missing. Compare role and policy with what "trousseau vault setup" prints, or the policy command of the cloud. A changed credential file is used at once; a policy within six minutes.',
  policy_denied:
    'The message names it: put right what it is about. "trousseau policy explain" shows the rule and its facts; a waiver lifts one for a while: docs/policy.md.',
  throttled:
    'Raise the limit at the key service, or see who else uses it up. The plugin waits as long as the service says, and API servers try again.',
  unavailable:
    'The message says what got no answer, and why; "trousseau doctor" tries each step. API servers go on with the keys in their memory: do not restart them. Everything resumes by itself.',
  timeout:
    'See whether the key service or the way to it is slow ("trousseau bench", trousseau_provider_call_duration_seconds), or the node is overloaded.',
  cancelled:
    'Nothing, if it is rare. Otherwise look why the API server gives up: its timeout, or a restart.',
  protocol:
    'Look for a proxy or a load balancer that answers in its place, and whether address and path are right.',
  internal: 'Report it with the log line, which has a stack and nothing secret.',
}

/** Undefined for a code that this version does not know. */
export function remedyOf(code: string | undefined): string | undefined {
  const known = KMS_ERROR_CODES.find((each) => each === code)
  return known && REMEDIES[known]
}
