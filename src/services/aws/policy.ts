/**
 * The IAM policy that the plugin needs, and nothing more. Condition keys are described in
 * docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html and …/alias-authorization.html.
 *
 * @module
 */

import { type AwsKmsConfig, DIGEST_NAME, keyNameOf } from './config.ts'
import { partitionOf } from './endpoints.ts'

type Condition = Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>

interface Statement {
  readonly Sid: string
  readonly Effect: 'Allow'
  readonly Action: string
  readonly Resource: string
  readonly Condition?: Condition
}

/** One document for all providers, as JSON. */
export function awsKmsPolicy(configs: readonly AwsKmsConfig[]): string {
  const Statement = configs.flatMap(statementsOf)
  return `${JSON.stringify({ Version: '2012-10-17', Statement }, null, 2)}\n`
}

function statementsOf(config: AwsKmsConfig, index: number): Statement[] {
  const { encryptionContext: own, reads = [] } = config
  const readsForeign = reads.length > 0
  const { resource, condition } = keyOf(config)
  const names = [DIGEST_NAME, ...Object.keys(own)]
  const values = Object.entries(own).map(([name, value]) => [contextKey(name), value])
  const number = index === 0 ? '' : String(index + 1)
  const allow = (action: string, conditions: Condition): Statement => {
    const all = { ...condition, ...conditions }
    const base = { Sid: `Trousseau${action}${number}`, Effect: 'Allow' } as const
    const what = { ...base, Action: `kms:${action}`, Resource: resource }
    return Object.keys(all).length === 0 ? what : { ...what, Condition: all }
  }
  const bound: Condition = { Null: { [contextKey(DIGEST_NAME)]: 'false' } }
  return [
    allow('Encrypt', {
      ...bound,
      'ForAllValues:StringEquals': { 'kms:EncryptionContextKeys': names },
      ...(values.length === 0 ? {} : { StringEquals: Object.fromEntries(values) }),
    }),
    // What was wrapped under an earlier context of yours is opened under that one, and what another
    // plugin wrapped has no digest.
    allow('Decrypt', readsForeign ? {} : bound),
    allow('DescribeKey', {}),
  ]
}

function contextKey(name: string): string {
  return `kms:EncryptionContext:${name}`
}

/**
 * Policies name keys, never aliases. The replicas of a multi-Region key are keys in other regions.
 */
function keyOf(config: AwsKmsConfig): { readonly resource: string; readonly condition: Condition } {
  const { kind, id, region, account = '*' } = keyNameOf(config)
  const place = `arn:${partitionOf(region)}:kms:${id.startsWith('mrk-') && kind === 'key' ? '*' : region}:${account}:key`
  if (kind === 'key') return { resource: `${place}/${id}`, condition: {} }
  const aliases = { 'kms:ResourceAliases': `alias/${id}` }
  return { resource: `${place}/*`, condition: { 'ForAnyValue:StringEquals': aliases } }
}
