/**
 * Variables with which the runtime would write secrets down before a line of this program runs. Those
 * that would only add to whom a connection trusts are without effect: `remote/http/tls_files`.
 *
 * @module
 */

type Variables = Readonly<Record<string, string | undefined>>

const KEYLOG = 'would have the keys of TLS connections written down'
const OPTIONS = /(?:^|[\s"])--(?:tls[-_](?:keylog|cipher[-_]list)|trace[-_]tls)\b/

const REFUSED: readonly (readonly [name: string, refused: RegExp, why: string])[] = [
  ['NODE_DEBUG', /./, 'would have what connections carry printed, keys of Kubernetes among it'],
  ['NODE_OPTIONS', OPTIONS, `has an option that weakens TLS or ${KEYLOG}`],
  // Of Deno.
  ['SSLKEYLOGFILE', /./, KEYLOG],
]

/** One line for each variable that the program refuses to run with. */
export function environmentProblems(variables: Variables): string[] {
  return REFUSED.filter(([name, refused]) => refused.test(variables[name] ?? '')).map(
    ([name, , why]) => `Variable ${name} of the environment ${why}: unset it`,
  )
}
