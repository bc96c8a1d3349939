/**
 * Environment variables that would make the runtime write secrets down before a line of this
 * program runs. Variables that would only add trusted authorities have no effect: see
 * `remote/http/tls_files`.
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
