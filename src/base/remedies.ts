/** What an operator does about each kind of failure: one sentence, wherever it is shown. @module */

import { KMS_ERROR_CODES, type KmsErrorCode } from './errors.ts'

export const REMEDIES: Readonly<Record<KmsErrorCode, string>> = {
  request_invalid:
    'See who else uses the socket: kube-apiserver sends no such request. "trousseau check" shows how the plugin answers.',
  ciphertext_invalid:
    'It was not written by this plugin, or was damaged: "trousseau scan" names the objects.',
  ciphertext_empty: 'Something asks to decrypt nothing: "trousseau scan" names damaged objects.',
  key_unknown:
    'What wrote it is not in the config any more: put that provider back with decryptOnly.',
  key_unavailable: 'Enable the key, or the version of it, at the key service again.',
  unbound:
    'The key service ignores associated data: docs/providers/vault.md says what can be done.',
  denied:
    'Compare role and policy with what "trousseau vault setup" prints, or the policy command of the cloud.',
  policy_denied:
    'A rule forbids it: "trousseau policy explain" shows which one, and from which facts.',
  throttled: 'Raise the limit at the key service, or see who else uses it up.',
  unavailable:
    'See whether the key service runs and can be reached from this node: "trousseau doctor" tries it.',
  timeout: 'The key service or the way to it is slow: see its load, and the network between.',
  cancelled: 'Whoever asked gave up: see why the answer took so long.',
  protocol: 'Something in between answers, such as a proxy: compare the address in the config.',
  internal: 'It is a bug of Trousseau: report it, with the line of the log.',
}

/** Undefined for a code that this version does not know. */
export function remedyOf(code: string | undefined): string | undefined {
  const known = KMS_ERROR_CODES.find((each) => each === code)
  return known && REMEDIES[known]
}
