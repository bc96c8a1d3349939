/** All surfaces, in the order in which they are run. @module */

import type { Surface } from '../surface.ts'

/** Loaded one by one, so that each is measured without the others. */
const FILES: Readonly<Record<string, () => Promise<Surface>>> = {
  envelope: async () => (await import('./envelope.ts')).envelope,
  kms_messages: async () => (await import('./kms_messages.ts')).kmsMessages,
  signer_messages: async () => (await import('./signer.ts')).signerMessages,
  signing_key: async () => (await import('./signer.ts')).signingKey,
  config: async () => (await import('./config.ts')).config,
  plugin_arguments: async () => (await import('./config.ts')).pluginArguments,
  rules: async () => (await import('./policy.ts')).rules,
  waiver: async () => (await import('./policy.ts')).waiver,
  encryption_config: async () => (await import('./kube_files.ts')).encryptionConfig,
  kubeconfig: async () => (await import('./kube_files.ts')).kubeconfig,
  static_pod: async () => (await import('./kube_files.ts')).staticPod,
  audit: async () => (await import('./audit.ts')).audit,
  etcd_record: async () => (await import('./etcd.ts')).etcdRecord,
  etcd_answer: async () => (await import('./etcd.ts')).etcdAnswer,
  snapshot: async () => (await import('./snapshot.ts')).snapshot,
  recovery: async () => (await import('./key_files.ts')).recovery,
  local_keys: async () => (await import('./key_files.ts')).localKeys,
  pem: async () => (await import('./key_files.ts')).pem,
  aws_profile: async () => (await import('./login_files.ts')).awsProfile,
  vault: async () => (await import('./vault.ts')).vault,
  aws: async () => (await import('./aws.ts')).aws,
  azure: async () => (await import('./azure.ts')).azure,
  google: async () => (await import('./google.ts')).google,
  kube_api: async () => (await import('./kube_api.ts')).kubeApi,
  spiffe: async () => (await import('./spiffe.ts')).spiffe,
  tpm: async () => (await import('./tpm.ts')).tpm,
  http2: async () => (await import('./http2.ts')).http2,
  opa: async () => (await import('./decisions.ts')).opa,
  collector: async () => (await import('./decisions.ts')).collector,
}

export const SURFACES: readonly string[] = Object.keys(FILES)

/** @throws Error for a name that no surface has */
export async function surfaceOf(name: string): Promise<Surface> {
  const found = await FILES[name]?.()
  if (found === undefined) throw new Error(`No surface ${name}: there are ${SURFACES.join(', ')}`)
  return found
}
