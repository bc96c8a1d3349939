/**
 * The IAM bindings that the plugin needs and nothing more, as `gcloud` commands that may be
 * repeated.
 *
 * Roles: https://cloud.google.com/kms/docs/reference/permissions-and-roles and
 * https://cloud.google.com/iam/docs/service-account-permissions
 *
 * @module
 */

import { commandLine, comment } from '../../base/shell.ts'
import { type GcpKmsConfig, partsOf } from './config.ts'
import { federationFile, impersonatedBy } from './login/federation.ts'
import { keyFile } from './login/key.ts'
import { readGoogleFile } from './login/source.ts'

/** An account on the way to the key; the first one is the node's. */
interface Identity {
  /** As IAM writes it, with a word in capitals where only the operator knows the value. */
  readonly member: string
  /** How to find the value of that word. */
  readonly hint?: string
}

/** Reads names of accounts from the files that the config names, where this machine has them. */
export async function gcpKmsPolicy({ key, auth, name }: GcpKmsConfig): Promise<string> {
  const chain = [
    ...(await ownIdentities(auth)),
    ...[...(auth.impersonate?.delegates ?? []), auth.impersonate?.serviceAccount]
      .filter((account) => account !== undefined)
      .map(serviceAccount),
  ]
  const last = chain.at(-1) ?? serviceAccount('')
  const sections = [
    [comment(`What provider ${name} needs of Google Cloud, and nothing more. Safe to run again.`)],
    chain.flatMap(({ hint }) => (hint === undefined ? [] : [comment(hint)])),
    [
      comment('Encrypt and decrypt: cloudkms.cryptoKeyVersions.useToEncrypt and useToDecrypt'),
      bindKey(key, last, 'roles/cloudkms.cryptoKeyEncrypterDecrypter'),
    ],
    [
      comment(
        'See the key and its versions, to notice a rotation: cloudkms.cryptoKeys.get and cloudkms.cryptoKeyVersions.list',
      ),
      bindKey(key, last, 'roles/cloudkms.viewer'),
    ],
    ...chain.slice(1).map((target, at) => mayActAs(chain[at] ?? last, target)),
  ]
  const filled = sections.filter((lines) => lines.length > 0)
  return `${filled.map((lines) => lines.join('\n')).join('\n\n')}\n`
}

function bindKey(key: string, { member }: Identity, role: string): string {
  const { project, location, ring, name } = partsOf(key)
  const place = [`--project=${project}`, `--location=${location}`, `--keyring=${ring}`]
  const who = [`--member=${member}`, `--role=${role}`]
  return commandLine(['gcloud', 'kms', 'keys', 'add-iam-policy-binding', name, ...place, ...who])
}

function mayActAs({ member }: Identity, target: Identity): string[] {
  const account = target.member.replace('serviceAccount:', '')
  const role = member.startsWith('principal:')
    ? 'roles/iam.workloadIdentityUser'
    : 'roles/iam.serviceAccountTokenCreator'
  const words = ['gcloud', 'iam', 'service-accounts', 'add-iam-policy-binding', account]
  return [
    comment(`Act as ${account}: iam.serviceAccounts.getAccessToken`),
    commandLine([...words, `--member=${member}`, `--role=${role}`]),
  ]
}

async function ownIdentities(auth: GcpKmsConfig['auth']): Promise<Identity[]> {
  switch (auth.method) {
    case 'metadata':
      return [ofInstance(auth.serviceAccount)]
    case 'key':
      return [await ofKey(auth.keyFile)]
    case 'federation':
      return await ofFederation(auth.credentialsFile)
  }
}

function ofInstance(account: string): Identity {
  if (account.includes('@')) return serviceAccount(account)
  return {
    ...serviceAccount('NODE_ACCOUNT'),
    hint: "NODE_ACCOUNT: gcloud compute instances describe NODE --format='value(serviceAccounts[].email)'; give the nodes one of their own, not the default one",
  }
}

async function ofKey(path: string): Promise<Identity> {
  const read = await readGoogleFile(path, keyFile).catch(() => undefined)
  if (read !== undefined) return serviceAccount(read.value.client_email)
  return { ...serviceAccount('KEY_ACCOUNT'), hint: `KEY_ACCOUNT: client_email in ${path}` }
}

async function ofFederation(path: string): Promise<Identity[]> {
  const read = await readGoogleFile(path, federationFile).catch(() => undefined)
  const pool = read?.value.audience.replace(/\/providers\/[^/]+$/, '')
  const subject = {
    member: `principal:${pool ?? '//iam.googleapis.com/POOL'}/subject/SUBJECT`,
    hint: 'SUBJECT: what the provider maps to google.subject, such as system:serviceaccount:kube-system:trousseau',
  }
  const poolHint = { hint: `POOL: audience in ${path}, without /providers/…; ${subject.hint}` }
  if (read === undefined) return [{ ...subject, ...poolHint }]
  const account = impersonatedBy(read.value)
  return account === undefined ? [subject] : [subject, serviceAccount(account)]
}

function serviceAccount(account: string): Identity {
  return { member: `serviceAccount:${account}` }
}
